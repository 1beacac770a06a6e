"""The example stacks for real accounts are valid, as the program itself reads them."""

import contextvars
import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from modelberth.platforms.sagemaker.pipelines import MOST_ENVIRONMENT, gate_json
from modelberth.spec import StackSpec
from modelberth.stack import read_spec

from sandbox.settings import ROOT
from sandbox.stack_file import StackFile
from tests.unit.components.cloud import Deployed, deploy
from tests.unit.components.cluster import STORE

REAL = ("dev", "staging", "prod")
SECRETS_ON_SITE = {"storage/objects": STORE, "shop-on-prem-flights/shop-on-prem-flights-bucket": STORE}


class _Yaml(yaml.SafeLoader):
    """Reads as the engine does, to whom `on` is a text; YAML 1.1, and so PyYAML, takes it for a truth value."""


_Yaml.yaml_implicit_resolvers = {
    first: [entry for entry in entries if first in "tTfF" or entry[0] != "tag:yaml.org,2002:bool"]
    for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(name: str) -> StackFile:
    """A stack's file."""
    path = ROOT / "stacks" / f"Pulumi.{name}.yaml"
    return StackFile(name, path, yaml.load(path.read_text(), _Yaml)["config"])


def as_the_engine_gives_it(config: dict[str, Any]) -> dict[str, str]:
    """A file's values as a program gets them: texts as they are, anything else as JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}


def spec_of(name: str) -> StackSpec:
    def parse() -> StackSpec:
        pulumi.runtime.set_all_config(as_the_engine_gives_it(read(name).config))
        return read_spec()

    return contextvars.copy_context().run(parse)


def deployed(name: str, package: Path, *, secrets: dict[str, dict[str, str]] | None = None) -> Deployed:
    """What a stack makes when its models serve a package of the tests; no store of `secrets` is asked."""
    from modelberth import deploy_stack

    config = json.loads(json.dumps(read(name).config))
    for model in config["modelberth:models"].values():
        model |= {"package": str(package), "gate": {}, "champion": "none"}
    return deploy(
        lambda: deploy_stack() and None,
        config=as_the_engine_gives_it(config),
        stack=name,
        preview=bool(secrets),
        known=bool(secrets),
        secrets=secrets,
    )


@pytest.mark.parametrize("name", [*REAL, "local-sagemaker", "on-prem"])
def test_a_stack_is_valid(name: str, project: Path) -> None:
    assert spec_of(name).models.keys() == {"flights"}


def test_a_wrong_key_would_be_seen(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = read("prod").config
    wrong["modelberth:models"]["flights"]["endpoint"]["scael"] = {}
    monkeypatch.setattr("tests.docs.test_stacks.read", lambda name: StackFile(name, Path(), wrong))
    with pytest.raises(pulumi.RunError, match=r"flights\.endpoint\.scael: unknown key \(did you mean scale\?\)"):
        spec_of("prod")


@pytest.mark.parametrize("name", REAL)
def test_a_stack_on_a_real_account_reaches_no_emulator(name: str) -> None:
    assert read(name).emulator_url is None


@pytest.mark.parametrize("name", REAL)
def test_a_stack_deploys(name: str, project: Path) -> None:
    made = deployed(name, project / "packages" / "churn")
    if name == "dev":
        assert len(made.of("ecr/repository:Repository")) == 1
        assert made.of("sagemaker/endpoint:Endpoint") == []
    else:
        assert len(made.of("sagemaker/endpoint:Endpoint")) == 1
    assert [one.request.protect for one in made.of("s3/bucket:Bucket")] == [name != "dev"]


def test_the_stack_on_site_deploys(project: Path) -> None:
    made = deployed("on-prem", project / "packages" / "churn", secrets=SECRETS_ON_SITE)
    assert len(made.of("apps/v1:Deployment")) == len(made.of("core/v1:Service")) == 1
    assert [one.name.rpartition("-")[2] for one in made.of("batch/v1:CronJob")] == ["monitor", "retraining", "drift"]
    assert made.one("core/v1:Namespace").request.protect


@pytest.mark.parametrize("name", REAL)
def test_the_rules_of_the_gate_fit_into_a_job(name: str, project: Path) -> None:
    assert all(len(gate_json(model.gate)) <= MOST_ENVIRONMENT for model in spec_of(name).models.values())


def test_the_stacks_differ_in_what_they_are_for(project: Path) -> None:
    dev, staging, prod = (spec_of(name) for name in REAL)
    assert (dev.development, staging.development, prod.development) == (True, False, False)
    models = [spec.models["flights"] for spec in (dev, staging, prod)]
    replicas = [model.endpoint.scale.min for model in models]
    assert replicas == sorted(set(replicas))
    assert [model.endpoint.rollout.canary is None for model in models] == [True, False, False]
    assert models[1].endpoint.rollout.bake < models[2].endpoint.rollout.bake
    assert len(models[0].alarms.rules) < len(models[1].alarms.rules) < len(models[2].alarms.rules)
    limits = [model.gate.metrics["roc_auc"].min for model in models]
    assert limits == sorted(limits, key=lambda limit: limit or 0) and len(set(limits)) == 3
    assert [model.encryption_key is None for model in models] == [True, True, False]
