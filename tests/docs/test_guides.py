"""Every Python program in the guides runs, and makes what its page says."""

import re
from pathlib import Path
from typing import Any

import pytest

from sandbox.settings import ROOT
from tests.unit.components.cloud import IMAGE, Deployed, deploy

OWN_STACK = ROOT / "docs" / "guides" / "write-your-own-stack.md"


def programs(page: Path) -> dict[str, str]:
    """The Python blocks of a page, by the heading that they stand below."""
    found: dict[str, str] = {}
    for part in re.split(r"^#+ ", page.read_text(), flags=re.MULTILINE)[1:]:
        heading = part.partition("\n")[0]
        for block in re.findall(r"```python\n(.*?)```", part, re.DOTALL):
            assert heading not in found, f"{page.name}: two programs below {heading}"
            found[heading] = block
    return found


def run(source: str, heading: str, **config: str) -> Deployed:
    return deploy(
        lambda: exec(compile(source, heading, "exec"), {"__name__": "program"}),
        config={"shop:image": IMAGE, **config},
    )


CONFIG = {
    "modelberth:platform": "sagemaker",
    "modelberth:image": IMAGE,
    "modelberth:models": '{"churn": {"package": "./packages/churn"}}',
}
MADE: dict[str, dict[str, int]] = {
    "A whole deployment": {"sagemaker/endpoint:Endpoint": 1, "cloudwatch/metricAlarm:MetricAlarm": 2},
    "The four components": {
        "s3/bucket:Bucket": 1,
        "sagemaker/endpoint:Endpoint": 1,
        "cloudwatch/metricAlarm:MetricAlarm": 2,
        "sagemaker/pipeline:Pipeline": 2,
        "cloudwatch/eventRule:EventRule": 1,
    },
    "An explicit provider": {"s3/bucket:Bucket": 1},
    "Inside another component": {"sagemaker/endpoint:Endpoint": 2, "s3/bucket:Bucket": 2},
    "Change what a component makes": {"sagemaker/endpoint:Endpoint": 1},
    "A stack's configuration in your program": {"sagemaker/endpoint:Endpoint": 1, "ssm/parameter:Parameter": 1},
    "When it is wrong": {},
}


def test_every_program_has_its_expectation() -> None:
    assert programs(OWN_STACK).keys() == MADE.keys()


@pytest.mark.parametrize("heading", MADE)
def test_the_programs_make_what_they_say(heading: str, project: Path) -> None:
    deployed = run(programs(OWN_STACK)[heading], heading, **CONFIG)
    assert {token: len(deployed.of(token)) for token in MADE[heading]} == MADE[heading]
    if not MADE[heading]:
        assert deployed.made == []


def test_the_whole_deployment_exports_its_summary(project: Path) -> None:
    exports = run(programs(OWN_STACK)["A whole deployment"], "program").exports
    assert exports["churn"].keys() == {"bucket", "endpoint", "alarms"}


def test_the_explicit_provider_makes_every_resource(project: Path) -> None:
    deployed = run(programs(OWN_STACK)["An explicit provider"], "program")
    providers = {one.request.provider.rpartition("::")[0] for one in deployed.children}
    assert [urn.rpartition("::")[2] for urn in providers] == ["frankfurt"]


def test_the_component_of_ones_own_is_the_parent(project: Path) -> None:
    deployed = run(programs(OWN_STACK)["Inside another component"], "program")
    inner = [one for one in deployed.made if one.type == "modelberth:index:ModelDeployment"]
    assert sorted(one.parent.rpartition("::")[2] for one in inner) == ["churn-cz", "churn-sk"]
    assert deployed.exports["cz"] != deployed.exports["sk"]


def test_the_transform_gives_roles_a_boundary() -> None:
    import pulumi

    scope: dict[str, Any] = {"__name__": "program"}
    source = programs(OWN_STACK)["Change what a component makes"].partition("ModelDeployment(\n")[0]
    exec(compile(source, "program", "exec"), scope)

    def args(token: str) -> pulumi.ResourceTransformArgs:
        return pulumi.ResourceTransformArgs(True, token, "name", {"name": "role"}, pulumi.ResourceOptions())

    changed = scope["bounded"](args("aws:iam/role:Role"))
    assert changed.props == {"name": "role", "permissionsBoundary": scope["BOUNDARY"]}
    assert scope["bounded"](args("aws:s3/bucket:Bucket")) is None


def test_the_example_of_the_readme_deploys_all_four(project: Path) -> None:
    (source,) = programs(ROOT / "README.md").values()
    assert len(source.strip().splitlines()) <= 10
    deployed = run(source, "README.md", **{"modelberth:image": IMAGE})
    components = {one.type for one in deployed.made if one.type.startswith("modelberth:")}
    assert components == {
        f"modelberth:index:{name}"
        for name in ("ModelDeployment", "ArtifactBucket", "ModelEndpoint", "MonitoringAlarms", "RetrainingSchedule")
    }
