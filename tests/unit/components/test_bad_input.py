"""What bad input gets: one error that names the file and the full key, before any resource is registered."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pulumi
import pytest
from modelberth import SpecificationError
from modelberth.spec import StackSpec
from modelberth.stack import deploy_stack, read_spec

from model_packaging.package import Package
from tests.unit.components.cloud import IMAGE, Made, deploy

FILE = "Pulumi.prod.yaml: modelberth:"
CRON = "write five fields: minute hour day-of-month month day-of-week, such as '0 3 * * 1' (Mondays at 03:00)"


def config(**values: Any) -> dict[str, str]:
    """A stack's configuration as the engine hands it over: text as it is, everything else as JSON."""
    return {
        "aws:region": "eu-central-1",
        **{
            f"modelberth:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
        },
    }


def problems(model: Any = None, **values: Any) -> list[str]:
    """Everything that is said about a stack, of which nothing may have been made."""
    values = {"platform": "sagemaker", "image": IMAGE, "models": {"churn": model}} | values
    made: list[Made] = []
    with pytest.raises(pulumi.RunError) as caught:
        deploy(deploy_stack, config=config(**values), stack="prod", made=made)
    assert made == []
    assert isinstance(caught.value, SpecificationError)
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert all(problem.startswith(FILE) for problem in caught.value.problems)
    return [problem.removeprefix(FILE) for problem in caught.value.problems]


def of_churn(**model: Any) -> list[str]:
    found = problems({"package": "none"} | model)
    assert all(problem.startswith("models.churn.") for problem in found), found
    return [problem.removeprefix("models.churn.") for problem in found]


def test_unknown_keys_get_the_nearest_name() -> None:
    assert problems({"package": "none"}, platfrom="sagemaker") == [
        "platfrom: unknown key (did you mean platform?); allowed here: development, image, models, platform, tags"
    ]
    assert of_churn(retrainin={}) == [
        "retrainin: unknown key (did you mean retraining?); allowed here: alarms, bucket, champion, encryption_key, "
        "endpoint, gate, kubernetes, package, place, retraining, sagemaker, vertex"
    ]
    assert of_churn(endpoint={"scale": {"mni": 1}}) == [
        "endpoint.scale.mni: unknown key (did you mean min?); allowed here: max, min, requests_per_replica"
    ]
    assert of_churn(endpoint={"shadw": "x"}) == [
        "endpoint.shadw: unknown key (did you mean shadow?); allowed here: "
        "capture, compute, kubernetes, rollout, sagemaker, scale, shadow, variants, vertex"
    ]
    assert of_churn(gate={"metrics": {"f1": {"mim": 0.8}}}) == [
        "gate.metrics.f1.mim: unknown key (did you mean min?); allowed here: confident, max, min"
    ]
    assert of_churn(bucket={"sagemaker": {"kms": 1}}) == ["bucket.sagemaker.kms: unknown key; allowed here: "]


def test_wrong_types() -> None:
    assert problems(models=["churn"]) == ["models: must be a map of keys to values"]
    assert problems({"package": "none"}, development="perhaps") == [
        "development: 'perhaps' must be a valid boolean, unable to interpret input"
    ]
    assert problems(None) == ["models.churn: None must be a map of keys to values"]
    assert of_churn(package=5) == ["package: 5 is no package: write a path, or an address with @sha256:…"]
    assert of_churn(endpoint={"scale": {"min": "two"}}) == ["endpoint.scale.min: 'two' must be a valid integer"]
    assert of_churn(endpoint={"scale": {"min": True}}) == ["endpoint.scale.min: True must be a valid integer"]
    assert of_churn(endpoint={"scale": 3}) == ["endpoint.scale: 3 must be a map of keys to values"]
    assert of_churn(endpoint={"rollout": {"bake": "soon"}}) == [
        "endpoint.rollout.bake: 'soon' is no duration: write a number with ms, s, m, h or d, such as 200ms, 5m or 30d"
    ]
    assert of_churn(endpoint={"compute": {"memory": "4 bananas"}}) == [
        "endpoint.compute.memory: '4 bananas' is no size: write a number with Mi or Gi, such as 512Mi or 4Gi"
    ]
    assert of_churn(endpoint={"capture": {"sample": "all"}}) == [
        "endpoint.capture.sample: 'all' is no share: write a percentage such as 10%, or a number from 0 to 1"
    ]
    assert of_churn(endpoint={"sagemaker": 5}) == ["endpoint.sagemaker: must hold keys of the platform's own"]
    assert of_churn(alarms={"rules": 5}) == ["alarms.rules: 5 must be a map of keys to values"]
    assert of_churn(alarms={"latency_p95": "200ms"}) == ["alarms.latency_p95: '200ms' must be {above: …}"]
    assert of_churn(alarms={"notify": ["ml@example.org"]}) == [
        "alarms.notify.0: 'ml@example.org' can't be told: write mailto:name@example.org or https://…"
    ]


def test_out_of_range() -> None:
    assert of_churn(endpoint={"scale": {"min": -1}}) == ["endpoint.scale.min: -1 is out of range: must be at least 0"]
    assert of_churn(endpoint={"scale": {"min": 0}}) == [
        "endpoint.scale.max: is missing: with min: 0 the number of replicas follows the load; write at least 1"
    ]
    assert of_churn(endpoint={"scale": {"min": 3, "max": 2}}) == ["endpoint.scale.max: 2 is less than min, which is 3"]
    assert of_churn(endpoint={"compute": {"cpu": 0}}) == [
        "endpoint.compute.cpu: 0 is out of range: must be greater than 0"
    ]
    assert of_churn(endpoint={"rollout": {"canary": "60%"}}) == [
        "endpoint.rollout.canary: '60%' is out of range: a canary gets 1% to 50% of the replicas"
    ]
    assert of_churn(endpoint={"capture": {"sample": 1.5}}) == [
        "endpoint.capture.sample: 1.5 is out of range: a share lies between 0% and 100%"
    ]
    assert of_churn(alarms={"latency_p95": {"above": -1}}) == [
        "alarms.latency_p95.above: -1 is out of range: a duration lies between 0s and 36500d"
    ]
    assert of_churn(alarms={"error_rate": {"above": "1%", "period": "90s"}}) == [
        "alarms.error_rate.period: '90s' must be a whole number of minutes"
    ]
    assert of_churn(alarms={"error_rate": {"above": "1%", "periods": 0}}) == [
        "alarms.error_rate.periods: 0 must be a whole number of at least 1"
    ]


def test_missing_keys(source: Path) -> None:
    assert problems(models={}, platform="") == [
        "platform: '' names no platform: choose kubernetes, sagemaker or vertex"
    ]
    assert of_churn(retraining={"source": str(source), "entrypoint": "train.py"}) == [
        "retraining.schedule: is missing; required here: entrypoint, schedule, source"
    ]
    assert of_churn(gate={"no_worse_than": "champion"}) == [
        "champion: is missing: gate.no_worse_than compares with it; write a path, an address, or none for the first"
    ]
    assert of_churn(alarms={"drift.psi": {"above": 0.2}}) == [
        "endpoint.capture: is missing: the alarms drift.psi compare captured traffic"
    ]


def retraining(source: Path, **changes: Any) -> list[str]:
    written = {"source": str(source), "entrypoint": "train.py", "schedule": "0 3 * * 1"} | changes
    return [problem.removeprefix("retraining.") for problem in of_churn(retraining=written)]


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("0 3 * *", "it has 4 fields"),
        ("every tuesday", "it has 2 fields"),
        ("0 0 3 * * 1", "it has 6 fields"),
    ],
)
def test_bad_schedules(schedule: str, why: str, source: Path) -> None:
    assert retraining(source, schedule=schedule) == [f"schedule: {schedule!r} is no cron schedule: {why}; {CRON}"]


@pytest.mark.parametrize("schedule", ["60 3 * * 1", "0 3 * * 8", "0 0 30 2 *", "a b c d e"])
def test_schedules_that_never_fire(schedule: str, source: Path) -> None:
    (problem,) = retraining(source, schedule=schedule)
    assert problem.startswith(f"schedule: {schedule!r} is no cron schedule (")
    assert problem.endswith(f"); {CRON}")


def test_schedules_that_the_platform_lacks(source: Path) -> None:
    assert retraining(source, schedule="0 3 1 * 1") == [
        "schedule: '0 3 1 * 1': sagemaker can't restrict both the day of the month and the day of the week of a "
        "schedule: one of the two must be `?` in EventBridge's cron expressions: write * for one of them; "
        "kubernetes or vertex can"
    ]


@pytest.mark.parametrize("zone", ["Europe", "../etc/passwd", "", "Mars/Olympus"])
def test_bad_time_zones(zone: str, source: Path) -> None:
    (problem,) = retraining(source, timezone=zone)
    assert problem.startswith(f"timezone: {zone!r} is no time zone: write an IANA name such as UTC or Europe/Prague")


def test_the_nearest_time_zone_is_named(source: Path) -> None:
    (problem,) = retraining(source, timezone="Europe/Prage")
    assert problem.endswith("(did you mean Europe/Prague?)")


def test_unknown_platforms_get_the_nearest() -> None:
    assert problems({"package": "none"}, platform="sagmaker") == [
        "platform: 'sagmaker' is no platform: choose kubernetes, sagemaker or vertex (did you mean sagemaker?)"
    ]
    assert of_churn(place={"endpoint": "vertx"}) == [
        "place.endpoint: 'vertx' is no platform: choose kubernetes, sagemaker or vertex (did you mean vertex?)"
    ]


def test_missing_files(tmp_path: Path, source: Path) -> None:
    assert of_churn(package=str(tmp_path / "nope")) == [
        f"package: cannot open {tmp_path}/nope: there is no such folder or archive"
    ]
    assert retraining(tmp_path / "nope", data=str(tmp_path / "neither")) == [
        f"source: '{tmp_path}/nope' does not exist; a path is relative to the project's folder",
        f"data: '{tmp_path}/neither' does not exist; a path is relative to the project's folder",
    ]
    assert retraining(source, entrypoint="train.sh") == [f"entrypoint: 'train.sh' is no file in '{source}'"]


def test_a_package_that_the_gate_refuses_is_told_by_metric_value_and_limit(original: Package) -> None:
    value = original.validation["metrics"]["accuracy"]
    value = value["value"] if isinstance(value, dict) else value
    address = str(original.path)
    assert of_churn(package=address, gate={"metrics": {"accuracy": {"min": 1.5}}}) == [
        f"gate.metrics.accuracy.min: accuracy is {value:.6g}, but must be at least 1.5"
    ]
    (missing,) = of_churn(package=address, gate={"metrics": {"acuracy": {"min": 0.5}}})
    assert missing.startswith(
        "gate.metrics.acuracy.min: the package has no metric acuracy (did you mean accuracy?); it has "
    )


@pytest.mark.parametrize("part", ["shadow", "variants"])
def test_the_gate_judges_variants_and_shadows_too(part: str, original: Package) -> None:
    address = str(original.path)
    endpoint = {
        "shadow": {"shadow": address},
        "variants": {"variants": {"primary": {"weight": 90}, "next": {"package": address, "weight": 10}}},
    }[part]
    which = {"shadow": "the shadow: ", "variants": "the variant next: "}[part]
    found = of_churn(package=address, endpoint=endpoint, gate={"metrics": {"accuracy": {"min": 1.5}}})
    assert len(found) == 2
    assert found[1] == found[0].replace(": ", f": {which}", 1)


def test_a_tampered_package_is_told_by_file(folder: Path, original: Package) -> None:
    card = folder / "card.md"
    card.write_bytes(card.read_bytes().replace(b"c", b"d"))
    (problem,) = of_churn(package=str(folder))
    assert problem.startswith(f"package: {folder}: card.md: sha256 is ")
    (problem,) = of_churn(package=str(original.path), endpoint={"shadow": str(folder)})
    assert problem.startswith(f"endpoint.shadow: {folder}: card.md: sha256 is ")
    variants = {"primary": {"weight": 100}, "next": {"package": str(folder), "weight": 0}}
    (problem,) = of_churn(package=str(original.path), endpoint={"variants": variants})
    assert problem.startswith(f"endpoint.variants.next.package: {folder}: card.md: sha256 is ")


def test_a_package_of_another_digest_is_refused(original: Package) -> None:
    wrong = "sha256:" + "0" * 64
    (problem,) = of_churn(package=f"{original.path}@{wrong}")
    assert problem.startswith(f"package: {original.path}@{wrong}: manifest.json: the digest is {original.digest}")


def test_unknown_alarms_and_wrong_sides() -> None:
    (problem,) = of_churn(alarms={"latncy_p95": {"above": "1s"}})
    assert problem.startswith("alarms.latncy_p95: unknown alarm (did you mean latency_p95?); the alarms are ")
    assert of_churn(alarms={"error_rate": {"below": "1%"}}) == [
        "alarms.error_rate: needs above: the trouble with share of requests that the model failed to answer (5xx) lies "
        "above the threshold"
    ]
    assert of_churn(alarms={"error_rate": {"above": "1%", "window": 3}}) == [
        "alarms.error_rate.window: unknown key; allowed here: above, period, periods"
    ]
    (problem,) = of_churn(alarms={"notifi": []})
    assert problem.startswith("alarms.notifi: unknown alarm (did you mean notify?)")


def variants(**weights: Any) -> list[str]:
    written = {
        name: {"weight": weight} | ({} if name == "primary" else {"package": "x"}) for name, weight in weights.items()
    }
    return [problem.removeprefix("endpoint.variants") for problem in of_churn(endpoint={"variants": written})]


def test_weights_that_are_negative_or_sum_wrong() -> None:
    assert variants(primary=120, next=-20) == [
        ".primary.weight: 120 is out of range: must be at most 100",
        ".next.weight: -20 is out of range: must be at least 0",
    ]
    assert variants(primary=90, next=20) == [": the weights are percentages and must sum to 100, but 90 + 20 is 110"]
    assert variants(primary=99.5, next=0.5)[0].startswith(".primary.weight: 99.5 must be a valid integer")
    assert variants(next=100) == [": must have primary, the model's own package, with its weight"]
    assert variants(primary=50, **{"The Next": 50}) == [
        ".The Next: 'The Next' is no name: use 2 to 40 lower-case letters, digits and single hyphens, beginning with a "
        "letter"
    ]


def test_variants_bring_their_own_packages() -> None:
    written: dict[str, dict[str, Any]] = {
        "primary": {"weight": 50, "package": "x"},
        "next": {"weight": 25},
        "last": {"weight": 25, "package": "none"},
    }
    assert of_churn(endpoint={"variants": written}) == [
        "endpoint.variants.primary.package: primary serves the model's own package; leave this out",
        "endpoint.variants.next.package: is missing: write a path, or an address with @sha256:…",
        "endpoint.variants.last.package: is missing: write a path, or an address with @sha256:…",
    ]
    written = {"primary": {"weight": 50}, "next": {"weight": 50, "package": "x"}}
    assert of_churn(endpoint={"variants": written, "shadow": "y"}) == [
        "endpoint.shadow: can't be combined with variants: a shadow needs one package that serves all traffic"
    ]


@pytest.mark.parametrize("name", ["Churn", "c", "churn_1", "churn-", "1churn", "a--b", "x" * 41])
def test_names_that_no_platform_takes(name: str) -> None:
    assert problems(models={name: {"package": "none"}}) == [
        f"models.{name}: {name!r} is no name: use 2 to 40 lower-case letters, digits and single hyphens, "
        "beginning with a letter"
    ]


def test_what_the_platform_cannot_do(original: Package, source: Path) -> None:
    model = {
        "package": str(original.path),
        "encryption_key": "alias/mine",
        "endpoint": {"rollout": {"canary": "10%", "bake": "2h"}, "sagemaker": {"instance_type": "m5.large"}},
        "alarms": {"latency_p95": {"above": "1s", "period": "1h", "periods": 200}, "cpu_utilization": {"above": "90%"}},
        "retraining": {
            "source": str(source),
            "entrypoint": "train.py",
            "schedule": "0 3 * * 1",
            "flexible_window": "2d",
            "timeout": "60d",
        },
        "bucket": {"keep_noncurrent": "12h"},
    }
    keys = [problem.partition(": ")[0].removeprefix("models.churn.") for problem in problems(model)]
    assert sorted(keys) == [
        "alarms.cpu_utilization",
        "alarms.latency_p95.periods",
        "bucket.keep_noncurrent",
        "encryption_key",
        "endpoint.rollout.bake",
        "endpoint.rollout.canary",
        "endpoint.sagemaker.instance_type",
        "retraining.flexible_window",
        "retraining.timeout",
    ]


def test_a_monitors_schedule_that_the_platform_lacks(original: Package) -> None:
    alarms = {"drift.psi": {"above": 0.2}, "monitor": {"schedule": "0 3 1 * 1", "sagemaker": {"machine": "x"}}}
    found = of_churn(package=str(original.path), endpoint={"capture": {}}, alarms=alarms)
    assert [problem.partition(": ")[0] for problem in found] == [
        "alarms.monitor.schedule",
        "alarms.monitor.sagemaker.machine",
    ]


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path, original: Package, source: Path) -> None:
    found = problems(
        models={
            "churn": {
                "package": "none",
                "endpoint": {"scale": {"min": -1}, "variants": {"primary": {"weight": 50}}},
                "alarms": {"latency": {"above": 1}, "error_rate": {"above": 7}, "notify": ["ml"], "monitor": {"x": 1}},
                "retraining": {"source": str(source), "entrypoint": "train.py", "schedule": "x", "timezone": "y"},
            },
            "fraud": {"package": str(tmp_path / "nope")},
            "risk": {"package": str(original.path), "gate": {"metrics": {"accuracy": {"min": 2.0}}}},
        }
    )
    assert [problem.partition(": ")[0] for problem in found] == [
        "models.churn.endpoint.scale.min",
        "models.churn.endpoint.variants",
        "models.churn.alarms.latency",
        "models.churn.alarms.error_rate.above",
        "models.churn.alarms.notify.0",
        "models.churn.alarms.monitor.x",
        "models.churn.retraining.schedule",
        "models.churn.retraining.timezone",
        "models.fraud.package",
        "models.risk.gate.metrics.accuracy.min",
    ]


def test_read_spec_reads_what_the_engine_hands_over() -> None:
    def program() -> StackSpec:
        return read_spec()

    values = config(platform="sagemaker", development=True, models={"churn": {"package": "none"}}, tags={"team": "x"})
    spec: StackSpec = deploy(program, config=values).result
    assert (spec.platform, spec.development, spec.tags, list(spec.models)) == (
        "sagemaker",
        True,
        {"team": "x"},
        ["churn"],
    )
    with pytest.raises(SpecificationError, match=r"^Pulumi\.prod\.yaml: modelberth:models: is missing; required"):
        deploy(program, config=config(platform="sagemaker"), stack="prod")


def test_a_stack_of_several_models_exports_each_and_tags_all(original: Package) -> None:
    model = {"package": str(original.path)}
    values = config(platform="sagemaker", image=IMAGE, models={"churn": model, "fraud": model}, tags={"team": "x"})
    deployed = deploy(deploy_stack, config=values)
    assert set(deployed.exports) == {"churn", "fraud"}
    assert deployed.exports["fraud"]["endpoint"]["package_digest"] == original.digest
    tags = {"modelberth:project": "shop", "modelberth:stack": "dev", "team": "x"}
    assert all(one.inputs["tags"] == tags for one in deployed.of("sagemaker/endpoint:Endpoint"))


def test_a_stack_without_an_image_makes_a_registry_for_it() -> None:
    values = config(platform="sagemaker", models={"churn": {"package": "none"}})
    deployed = deploy(deploy_stack, config=values)
    repository = deployed.one("ecr/repository:Repository")
    assert repository.inputs["tags"] == {"modelberth:project": "shop", "modelberth:stack": "dev"}
    assert repository.request.protect
    assert deployed.exports["image_repository"].endswith("/shop-dev-modelberth")


@pytest.mark.parametrize(("repository", "kept"), [("shop-dev-modelberth", True), ("someone-elses", False)])
def test_a_stack_keeps_the_registry_that_it_made_for_its_image(repository: str, kept: bool) -> None:
    image = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/{repository}@sha256:{'a' * 64}"
    values = config(platform="sagemaker", image=image, models={"churn": {"package": "none"}})
    deployed = deploy(deploy_stack, config=values)
    assert len(deployed.of("ecr/repository:Repository")) == kept


def test_two_models_of_one_name_are_refused_by_the_engine_itself(tmp_path: Path) -> None:
    """Its YAML parser takes no key twice, whoever reads the file, so that the program never sees such a stack."""
    from sandbox.engine.install import ensure_engine

    engine = ensure_engine(tmp_path / "bin")
    (tmp_path / "state").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: twice\nruntime: python\n")
    environment = os.environ | {
        "PULUMI_BACKEND_URL": (tmp_path / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PATH": f"{engine.folder}:{os.environ['PATH']}",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", *arguments, "--stack", "dev", "--non-interactive"]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    run("stack", "init")
    with (tmp_path / "Pulumi.dev.yaml").open("a") as file:
        file.write("config:\n  modelberth:models:\n    churn: {package: a}\n    churn: {package: b}\n")
    refused = run("preview")
    assert refused.returncode != 0
    assert 'mapping key "churn" already defined' in refused.stdout + refused.stderr
