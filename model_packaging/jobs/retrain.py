"""`modelberth retrain`: the whole pipeline in one command, on any platform.

What a run is made of, by content, names its folder below `work`: the code, the data, the champion, the entry point
and its parameters. A step that a run with the same ones has finished is not done again, so an interrupted run
continues, and of two at once the second waits and then finds all done. Nothing of that folder is ever published but
the candidate, once it has passed, with its manifest last and its record after it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from model_packaging.datasets import bring, content_digest, data_version, digest_of, listing
from model_packaging.documents import load_object
from model_packaging.errors import ModelberthError, PackageError
from model_packaging.jobs import workplace
from model_packaging.jobs.files import read_object, write_json
from model_packaging.jobs.gate import judge
from model_packaging.jobs.layout import Layout
from model_packaging.jobs.publish import keep_refusal, publish_candidate, whole_lineage, write_verdict
from model_packaging.jobs.retrain_settings import Settings
from model_packaging.jobs.train import train
from model_packaging.jobs.validate import check_candidate
from model_packaging.jobs.verdict import written
from model_packaging.package import Package, open_package
from model_packaging.schema import MANIFEST
from model_packaging.storage import is_remote, split_address
from model_packaging.tables import snapshot

REFUSED = 3
"""The exit code of a run whose candidate the gate refuses."""


@dataclass(frozen=True)
class Data:
    """A version of data, and the folder that holds it once it is here."""

    address: str
    digest: str
    folder: Path | None
    brought: bool
    """Whether the folder was made by this run."""


@dataclass(frozen=True)
class Inputs:
    """What a run is made of."""

    code: Path
    """The training code, copied: it may change while the run goes on."""

    code_digest: str
    data: Data | None
    """None where the script brings its own."""

    champion: Package | None

    def key(self, settings: Settings) -> str:
        """Names the run's folder. A script that brings its own data may find another next time, so it is the same
        run only where the platform gives both the same name."""
        own = None if self.data else settings.execution or datetime.now(UTC).isoformat()
        parts = {
            "modelberth": version("modelberth"),
            "entrypoint": settings.entrypoint,
            "parameters": settings.parameters,
            "code": self.code_digest,
            "data": self.data.digest if self.data else own,
            "champion": self.champion.digest if self.champion else None,
        }
        return digest_of("retraining", [json.dumps(parts, sort_keys=True)]).removeprefix("sha256:")[:16]


def retrain(settings: Settings) -> dict[str, Any]:
    """Trains, validates, judges and publishes; returns the verdict, whose `outcome` is `published` or `refused`.
    ModelberthError says what failed, and the verdict for people is then that."""
    work = Path(settings.work) if settings.work else workplace.default()
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work, prefix="incoming-") as incoming:
        inputs = gather(settings, Path(incoming))
        with workplace.held(work / f"{settings.model}-{inputs.key(settings)}") as own:
            workplace.prune(work, own.folder)
            verdict = _steps(settings, inputs, own)
    _tell(settings, verdict)
    return verdict


def gather(settings: Settings, incoming: Path) -> Inputs:
    """Brings code, data and champion here, below `incoming` where they are not here yet, and says which they are.
    Raises ModelberthError where the data is not the version that was asked for, or one cannot be read."""
    code = incoming / "code"
    code.mkdir()
    if settings.source is not None:
        _copy_code(settings.source, code, incoming)
    lines = sorted(f"{entry['name']} {entry['sha256']}" for entry in listing(code))
    data = _data(settings.data, incoming) if settings.data else None
    champion = open_package(settings.champion) if settings.champion else None
    if champion is not None and champion.name != settings.model:
        raise ModelberthError(
            f'the champion {settings.champion} is named "{champion.name}", this run trains "{settings.model}"'
        )
    return Inputs(code, digest_of("code", lines), data, champion)


def failed(settings: Settings) -> Callable[[str], None]:
    """Tells a failure where the verdict would stand."""

    def tell(reason: str) -> None:
        _tell(settings, {"schema_version": 1, "model": settings.model, "outcome": "failed", "problems": [reason]})

    return tell


def _steps(settings: Settings, inputs: Inputs, own: workplace.Held) -> dict[str, Any]:
    layout = Layout(own.folder)
    candidate = _finished(layout.model, settings.model)
    if candidate is None:
        _lay_out(layout, settings, inputs)
        train(layout, inherited=(own.descriptor,), started=own.training)
        candidate = open_package(layout.model)
    else:
        print(f"trained before: {candidate.name} {candidate.digest}", flush=True)
    report = _report(layout, candidate, inputs.champion)
    verdict = _verdict(layout, settings, candidate, inputs.champion, report)
    lineage = {
        "execution": settings.execution,
        "code": inputs.code_digest,
        "code_version": settings.code_version,
        "entrypoint": settings.entrypoint,
        "parameters": settings.parameters,
        "given_data": inputs.data.digest if inputs.data else None,
    }
    if not verdict["passed"]:
        return keep_refusal(candidate, verdict, settings.bucket, settings.model, lineage)
    address = publish_candidate(candidate, verdict, settings.bucket, settings.model, lineage)
    print(f"published candidate {address}", flush=True)
    published = {"outcome": "published", "address": address, "model": settings.model}
    return verdict | published | {"lineage": whole_lineage(candidate, verdict, lineage)}


def _finished(folder: Path, model: str) -> Package | None:
    """The package that an earlier run left whole; the manifest comes last, so that another one has none."""
    if not (folder / MANIFEST).is_file():
        return None
    with contextlib.suppress(PackageError):
        package = open_package(folder)
        return package if package.name == model else None
    return None


def _lay_out(layout: Layout, settings: Settings, inputs: Inputs) -> None:
    """The folders of a training job."""
    shutil.rmtree(layout.channels, ignore_errors=True)
    layout.channels.mkdir(parents=True)
    shutil.move(inputs.code, layout.channels / "code")
    _lay_out_data(layout, settings.model, inputs.data)
    if inputs.champion is not None:
        (layout.channels / "champion").symlink_to(inputs.champion.path.resolve(), target_is_directory=True)
    write_json(
        layout.hyperparameters,
        {
            "entrypoint": settings.entrypoint,
            "name": settings.model,
            "parameters": settings.parameters,
            "timeout_seconds": settings.timeout_seconds,
        },
    )


def _lay_out_data(layout: Layout, model: str, data: Data | None) -> None:
    training = layout.channels / "training"
    if data is None:
        training.mkdir()
        return
    folder, brought = data.folder, data.brought
    if folder is None:  # a pinned version, which nobody needed to see before
        folder = bring(data.address, layout.channels / "brought")
        brought = folder == layout.channels / "brought"
    if brought:
        folder.rename(training)
    else:
        training.symlink_to(folder.resolve(), target_is_directory=True)
    place = data.address if snapshot(data.address) else training
    try:
        described = data_version(place, name=model, origin=data.address)
    except ModelberthError as error:  # the script may know how to read what is no table, or an odd one
        print(f"the data is not described: {error}", flush=True)
        described = {"name": model, "digest": content_digest(place), "origin": data.address}
        described |= {"rows": None, "columns": {}, "time_range": None}
    if described["digest"] != data.digest:
        raise ModelberthError(f"data: {data.address} is the version {described['digest']}, asked for is {data.digest}")
    write_json(layout.data_version, described)


def _report(layout: Layout, candidate: Package, champion: Package | None) -> dict[str, Any]:
    known = _kept(layout.report)
    if (known.get("digest"), known.get("champion")) == (candidate.digest, champion.digest if champion else None):
        return known
    report = check_candidate(candidate, champion)
    write_json(layout.report, report)
    return report


def _verdict(
    layout: Layout, settings: Settings, candidate: Package, champion: Package | None, report: dict[str, Any]
) -> dict[str, Any]:
    rules = settings.rules
    known = _kept(layout.verdict)
    asked = (candidate.digest, champion.digest if champion else None, written(rules))
    # An age changes by itself, and a key's file may.
    lasting = rules.max_age is None and rules.signed_by is None
    if lasting and (known.get("digest"), known.get("champion"), known.get("rules")) == asked:
        return known
    verdict = judge(candidate, champion, report, rules)
    write_json(layout.verdict, verdict)
    return verdict


def _kept(path: Path) -> dict[str, Any]:
    return read_object(path, "what an earlier run left") if path.is_file() else {}


def _copy_code(source: str, code: Path, incoming: Path) -> None:
    """Hidden files and caches stay behind: they are no code, and would make equal code look different."""
    folder = bring(source, incoming / "source") if is_remote(source) else Path(source)
    if not folder.is_dir():
        raise ModelberthError(f"source: {source} is not a folder")
    shutil.copytree(folder, code, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", "__pycache__"))


def _data(given: str, incoming: Path) -> Data:
    address, expected = split_address(given)
    if not is_remote(address) and address.endswith(".json") and Path(address).is_file():
        recorded = load_object(Path(address).read_bytes(), address)
        if "digest" in recorded and "origin" in recorded:
            expected, address = str(recorded["digest"]), str(recorded["origin"])
    if expected is not None:
        return Data(address, expected, None, brought=False)
    if snapshot(address):
        return Data(address, content_digest(address), None, brought=False)
    folder = bring(address, incoming / "data")
    return Data(address, content_digest(folder), folder, brought=folder == incoming / "data")


def _tell(settings: Settings, verdict: dict[str, Any]) -> None:
    if settings.verdict is not None:
        folder = settings.verdict.rstrip("/")
        write_verdict(verdict, f"{folder}/verdict.json", f"{folder}/verdict.md")
