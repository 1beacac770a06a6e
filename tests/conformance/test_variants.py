"""Several packages behind one endpoint: by weights, and as a shadow whose answers nobody sees."""

import json
from collections import Counter
from typing import Any

import pytest
from modelberth.gaps import gap_of

from model_packaging.errors import ModelberthError
from tests.conformance.conftest import wait_for
from tests.conformance.test_life import ask
from tests.conformance.world import MODEL, World

pytestmark = pytest.mark.timeout(600)
REQUESTS = 200


def endpoint_name(world: World) -> str:
    return json.loads(world.stack.outputs())[MODEL]["endpoint"]["name"]


def row_that_tells(world: World) -> dict[str, Any]:
    """Inputs for which the two packages give different probabilities."""
    good, better = world.package("good").examples, world.package("better").examples
    for row, one in zip(good["inputs"], good["predictions"], strict=True):
        for other_row, other in zip(better["inputs"], better["predictions"], strict=True):
            if row == other_row and one["probabilities"] != other["probabilities"]:
                return row
    raise AssertionError("the packages have no example on which they differ")


def deploys(world: World, feature: str, endpoint: dict[str, Any]) -> bool:
    """Deploy an endpoint, with what the platform needs for the feature; false where its table has it as a gap.

    What the table has as a gap, as such or for an endpoint that does not say what is needed, `up` refuses.
    """
    for gap, told in ((f"{feature}_without_gateway", {}), (feature, world.sharing())):
        world.configure("good", endpoint=endpoint | told)
        if (found := gap_of(world.platform, gap)) is not None:
            with pytest.raises(ModelberthError) as refused:
                world.up()
            assert found.reason in str(refused.value)
            continue
        world.up()
        return True
    return False


def test_weights_share_the_traffic(world: World) -> None:
    usual = world.model("good")["endpoint"]
    variants = {"primary": {"weight": 75}, "rival": {"weight": 25, "package": str(world.packages / "better")}}
    if not deploys(world, "variants", usual | {"variants": variants}):
        return
    endpoint, row = endpoint_name(world), row_that_tells(world)
    assert sorted(world.running(endpoint)) == sorted([world.package("good").digest, world.package("better").digest])
    answers = Counter(str(ask(world, endpoint, row)["probabilities"]) for _ in range(REQUESTS))
    assert len(answers) == 2
    # Beyond five standard deviations of a quarter of 200 it is no chance: the binomial's is 6.1.
    assert abs(min(answers.values()) - REQUESTS / 4) < 31
    served = world.served(endpoint)
    assert served.keys() == {"primary", "rival"}
    assert sorted(served.values()) == sorted(answers.values())
    world.up("--expect-no-changes")


def test_a_shadow_gets_each_request_and_answers_none(world: World) -> None:
    usual = world.model("good")["endpoint"]
    if not deploys(world, "shadow", usual | {"shadow": str(world.packages / "better")}):
        return
    endpoint, row = endpoint_name(world), row_that_tells(world)
    before = world.served(endpoint).get("shadow", 0)
    answers = {str(ask(world, endpoint, row)["probabilities"]) for _ in range(20)}
    assert len(answers) == 1
    wait_for(lambda: world.served(endpoint).get("shadow", 0) == before + 20, 20, "the shadow gets all 20 requests")
    assert world.running(endpoint) == [world.package("good").digest]
    world.up("--expect-no-changes")


def test_a_shadow_that_fails_the_gate_is_refused(world: World) -> None:
    usual = world.model("good")["endpoint"]
    world.configure("good", endpoint=usual | {"shadow": str(world.packages / "worse")})
    with pytest.raises(ModelberthError) as refused:
        world.up()
    assert "modelberth:models.tumours.gate.metrics.roc_auc.min: the shadow: roc_auc is 0.7" in str(refused.value)


def test_all_of_it_goes(world: World) -> None:
    world.configure("good")
    world.destroy()
    assert world.everything() == world.before
