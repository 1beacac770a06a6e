import botocore.session
import pytest
from modelberth.platforms.sagemaker.machines import MACHINES, Purpose, machines_for, processors, smallest
from modelberth.spec import ComputeSpec

GIB = 1024**3
ENUMERATIONS: dict[Purpose, str] = {
    "endpoint": "ProductionVariantInstanceType",
    "training": "TrainingInstanceType",
    "processing": "ProcessingInstanceType",
}


@pytest.mark.parametrize(("purpose", "enumeration"), ENUMERATIONS.items())
def test_every_machine_is_one_that_the_api_takes(purpose: Purpose, enumeration: str) -> None:
    shape = botocore.session.get_session().get_service_model("sagemaker").shape_for(enumeration)
    assert set(machines_for(purpose)) <= set(shape.enum)  # pyright: ignore


# "Amazon EC2 instance types", the specifications of each family.
@pytest.mark.parametrize(
    ("name", "cpu", "gib"),
    [
        ("ml.c5.large", 2, 4),
        ("ml.c5.9xlarge", 36, 72),
        ("ml.c5.18xlarge", 72, 144),
        ("ml.c7i.48xlarge", 192, 384),
        ("ml.m5.xlarge", 4, 16),
        ("ml.m5.24xlarge", 96, 384),
        ("ml.m6i.32xlarge", 128, 512),
        ("ml.r5.large", 2, 16),
        ("ml.r5.12xlarge", 48, 384),
        ("ml.r7i.48xlarge", 192, 1536),
    ],
)
def test_processors_and_memory(name: str, cpu: int, gib: int) -> None:
    assert MACHINES[name] == (cpu, gib * GIB)


@pytest.mark.parametrize(
    ("cpu", "gib", "purpose", "expected"),
    [
        (1, 2, "endpoint", "ml.c5.large"),
        (1, 2, "processing", "ml.c7i.large"),
        (2, 8, "endpoint", "ml.m5.large"),
        (2, 8, "training", "ml.m5.large"),
        (2, 8.5, "training", "ml.r5.large"),
        (2.5, 4, "training", "ml.c5.xlarge"),
        (1, 100, "endpoint", "ml.r5.4xlarge"),
        (16, 32, "processing", "ml.c5.4xlarge"),
    ],
)
def test_the_smallest_that_fits_is_taken(cpu: float, gib: float, purpose: Purpose, expected: str) -> None:
    assert smallest(ComputeSpec(cpu=cpu, memory=int(gib * GIB)), purpose) == expected


def test_the_largest_is_named_when_none_fits() -> None:
    with pytest.raises(
        ValueError, match=r"500 processors and 2Gi .* the largest, ml\.r7i\.48xlarge, has 192 and 1536Gi"
    ):
        smallest(ComputeSpec(cpu=500), "endpoint")


def test_processors_of_a_machine_that_is_not_in_the_table_are_unknown() -> None:
    assert processors("ml.m5.2xlarge") == 8
    assert processors("ml.g5.xlarge") is None
