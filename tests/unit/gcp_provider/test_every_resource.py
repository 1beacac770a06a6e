"""Each row of the resources' table, against the emulator: made, read, changed, imported and deleted."""

from __future__ import annotations

import grpc
import pytest

from sandbox.providers import schema
from tests.provider_engine import Engine
from tests.unit.gcp_provider.samples import HOLDERS, SAMPLES, STAYS, Values

SOMETIMES = {
    "catchUp",
    "conditions",
    "lastPauseTime",
    "lastResumeTime",
    "lastScheduledRunResponses",
    "creationRecords",
    "dedicatedEndpointDns",
    "deployedModels",
    "generatedSchemaColumns",
    "modelDeploymentMonitoringJob",
    "monitoredResourceTypes",
    "numBytes",
    "numLongTermBytes",
    "verificationStatus",
}
"""Outputs that only some have."""

APART = {"labels", "conditions", "createPipelineJobRequest"}
"""Inputs that an import does not find as given: only the program tells labels apart, and names and parents are filled
in."""


def make(engine: Engine, token: str, news: Values) -> tuple[str, Values, Values]:
    """Make a resource; without its API in the emulator there is nothing to test it against."""
    try:
        return engine.create(token, news)
    except grpc.RpcError as error:
        if "does not emulate" in str(error.details()):  # type: ignore[attr-defined]
            pytest.skip(f"{token}: the emulator does not have its API")
        raise


@pytest.mark.parametrize("token", sorted(SAMPLES))
def test_a_resource_through_its_life(engine: Engine, token: str) -> None:
    news, changes = SAMPLES[token]
    for one, values in HOLDERS.get(token, []):
        make(engine, one, values)
    identifier, state, inputs = make(engine, token, news)
    assert engine.diff(token, inputs, inputs, state).changes == 1
    assert engine.read(token, identifier, state, inputs) == (identifier, state, inputs)
    told = set(state)
    assert told >= schema.resource(token).outputs - schema.resource(token).inputs.keys() - SOMETIMES

    changed = {key: value for key, value in (inputs | changes).items() if value is not None}
    diff = engine.diff(token, inputs, changed, state)
    assert set(diff.diffs) == set(changes)
    assert list(diff.replaces) == []
    after = engine.update(token, identifier, state, inputs, changed)
    assert engine.diff(token, changed, changed, after).changes == 1
    assert engine.read(token, identifier, after, changed) == (identifier, after, changed)

    found, seen, imported = engine.read(token, identifier)
    assert found == identifier
    # What was given is what an import finds, but for what `APART` names.
    given = {key: value for key, value in changed.items() if key in imported and key not in APART}
    same = engine.diff(token, {key: imported[key] for key in given}, given, seen)
    assert set(same.diffs) <= {"effectiveLabels", "pulumiLabels"}
    engine.delete(token, identifier, after)
    assert (engine.read(token, identifier, after)[0] == "") == (token not in STAYS)
