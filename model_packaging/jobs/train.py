"""`modelberth train`: the user's training script within SageMaker's training contract.

The script gets `--data <folder> --output <folder>`, with `--name <model>` and `--parameters <JSON>` where the job
gives them, and must leave a package in the output folder (`model_packaging.pack` writes one). In place of a script a
function can be named, `module:function`; it gets the same as keyword arguments (`entry`). The environment is that of
the SageMaker training toolkit (SM_CHANNEL_…, SM_HP_…), except that SM_MODEL_DIR is the output folder too: only a
verified package reaches the folder that SageMaker uploads. MODELBERTH_CHECKPOINTS is a folder that outlives an
interrupted run, and MODELBERTH_DATA_VERSION, where it is known, the file with the version of the data.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from model_packaging.errors import ModelberthError, choices, did_you_mean
from model_packaging.jobs import script
from model_packaging.jobs.files import read_object
from model_packaging.jobs.layout import Layout
from model_packaging.package import open_package

_KNOWN = ("entrypoint", "name", "parameters", "timeout_seconds")
DEFAULT_TIMEOUT_SECONDS = 24 * 3600.0  # the default of SageMaker's MaxRuntimeInSeconds


@dataclass(frozen=True)
class Settings:
    """The job's hyperparameters, read and checked."""

    entrypoint: str
    name: str | None
    parameters: dict[str, Any]
    timeout_seconds: float


def train(layout: Layout, inherited: Sequence[int] = (), started: Callable[[int], None] = lambda group: None) -> None:
    """Runs the script, verifies its package and puts it into the model folder. What the script inherits and who is
    told of its start is up to the caller, as in `script.run`."""
    settings = read_settings(layout.hyperparameters)
    code = layout.channels / "code"
    entrypoint = _command(code, settings.entrypoint)
    data = layout.channels / "training"
    if not data.is_dir():
        raise ModelberthError(f'the channel "training" is missing: {data} does not exist')
    with tempfile.TemporaryDirectory(prefix="package-") as folder:
        output = Path(folder) / "package"  # pack() replaces the folder, so it is not the temporary one
        output.mkdir()
        command = [sys.executable, "-u", *entrypoint, "--data", str(data), "--output", str(output)]
        if settings.name is not None:
            command += ["--name", settings.name]
        if settings.parameters:
            command += ["--parameters", json.dumps(settings.parameters)]
        layout.checkpoints.mkdir(parents=True, exist_ok=True)
        print(f"running {settings.entrypoint}", flush=True)
        ended = script.run(
            command, code, environment(layout, settings, output), settings.timeout_seconds, inherited, started
        )
        _check(ended, settings)
        if not (output / "manifest.json").is_file():
            found = ", ".join(sorted(path.name for path in output.iterdir())[:10]) or "nothing"
            raise ModelberthError(
                f"{settings.entrypoint} left no package in its --output folder (no manifest.json; found {found})"
            )
        package = open_package(output)
        if settings.name is not None and package.name != settings.name:
            raise ModelberthError(
                f'{settings.entrypoint} packed a model named "{package.name}": this job trains "{settings.name}"'
            )
        _deliver(package.path, layout.model)
    print(f"packaged {package.name} {package.digest}", flush=True)


def read_settings(path: Path) -> Settings:
    """The hyperparameters; SageMaker gives every value as a string, and its SDK writes those as JSON.
    ModelberthError lists everything that is wrong."""
    given = {key: value for key, value in read_object(path, "the hyperparameters").items() if not _foreign(key)}
    problems = [
        f'unknown hyperparameter "{key}": known are {choices(_KNOWN)}{did_you_mean(key, _KNOWN)}'
        for key in given
        if key not in _KNOWN
    ]
    values = {key: _plain(value) for key, value in given.items()}
    entrypoint = values.get("entrypoint")
    if not isinstance(entrypoint, str) or not entrypoint:
        problems.append(
            'hyperparameter "entrypoint" is missing: name the training script, such as train.py, or a module:function'
        )
    parameters = values.get("parameters", {})
    if not isinstance(parameters, dict):
        problems.append(f'hyperparameter "parameters" is {given["parameters"]!r}: it must be a JSON object')
    timeout = values.get("timeout_seconds", DEFAULT_TIMEOUT_SECONDS)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        problems.append(f'hyperparameter "timeout_seconds" is {given["timeout_seconds"]!r}: it must be above 0')
    name = values.get("name")
    if name is not None and not isinstance(name, str):
        name = str(given["name"])  # a model named "2026" is not a number
    if problems:
        raise ModelberthError(*problems)
    return Settings(cast("str", entrypoint), name, cast("dict[str, Any]", parameters), float(cast("float", timeout)))


def environment(layout: Layout, settings: Settings, output: Path) -> dict[str, str]:
    """The process environment with the SageMaker training toolkit's variables."""
    channels = sorted(path.name for path in layout.channels.iterdir() if path.is_dir())
    parameters = {**({"name": settings.name} if settings.name else {}), **settings.parameters}
    path = os.environ.get("PYTHONPATH")
    code = str(layout.channels / "code")
    host = os.environ.get("SM_CURRENT_HOST", "algo-1")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([code, path]) if path else code,
        "MODELBERTH_CHECKPOINTS": str(layout.checkpoints),
        **({"MODELBERTH_DATA_VERSION": str(layout.data_version)} if layout.data_version.is_file() else {}),
        "SM_MODEL_DIR": str(output),
        "SM_INPUT_DIR": str(layout.base / "input"),
        "SM_INPUT_CONFIG_DIR": str(layout.base / "input" / "config"),
        "SM_OUTPUT_DIR": str(layout.base / "output"),
        "SM_OUTPUT_DATA_DIR": str(layout.base / "output" / "data"),
        "SM_CHANNELS": json.dumps(channels),
        "SM_HPS": json.dumps(parameters),
        "SM_CURRENT_HOST": host,
        "SM_HOSTS": json.dumps([host]),
        "SM_NUM_CPUS": str(os.cpu_count() or 1),
        "SM_NUM_GPUS": os.environ.get("SM_NUM_GPUS", "0"),
        **{f"SM_CHANNEL_{channel.upper()}": str(layout.channels / channel) for channel in channels},
        **{f"SM_HP_{key.upper()}": v if isinstance(v, str) else json.dumps(v) for key, v in parameters.items()},
    }


def _command(code: Path, name: str) -> list[str]:
    """What Python runs: a function of a module that is installed or in the code channel, or a script of the channel."""
    if not code.is_dir():
        raise ModelberthError(f'the channel "code" is missing: {code} does not exist')
    if re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", name):
        return ["-m", "model_packaging.jobs.entry", name]
    return [str(_script(code, name))]


def _script(code: Path, name: str) -> Path:
    path = (code / name).resolve()
    if not path.is_relative_to(code.resolve()):
        raise ModelberthError(f'entrypoint "{name}" is outside the code channel')
    if not path.is_file():
        found = sorted(str(p.relative_to(code)) for p in code.rglob("*.py"))[:50]
        raise ModelberthError(
            f'entrypoint "{name}" is not in the code channel: found {choices(found)}{did_you_mean(name, found)}'
        )
    return path


def _check(ended: script.Ended, settings: Settings) -> None:
    if ended.timed_out:
        raise ModelberthError(
            f"{settings.entrypoint} did not end within timeout_seconds = {settings.timeout_seconds:g} and was ended, "
            "with all that it started"
        )
    if ended.code:
        how = f"was killed by signal {-ended.code}" if ended.code < 0 else f"exited with code {ended.code}"
        memory = " (out of memory?)" if ended.code == -9 else ""
        # The end of a traceback says the most, so the reason starts with the last line.
        *before, last = ended.tail.splitlines() or ["it printed nothing"]
        context = "\n".join(before)[-600:]
        raise ModelberthError(
            f"{settings.entrypoint} {how}{memory}: {last[:300]}" + (f"\n{context}" if context else "")
        )


def _deliver(package: Path, model: Path) -> None:
    """Copies with the manifest last: without it the folder is no package, wherever this is cut off.
    The folder itself stays, because it is a mount."""
    model.mkdir(parents=True, exist_ok=True)
    manifest = model / "manifest.json"
    manifest.unlink(missing_ok=True)
    for old in model.iterdir():
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink()
    shutil.copytree(
        package,
        model,
        dirs_exist_ok=True,
        ignore=lambda folder, names: ["manifest.json"] if Path(folder) == package else [],
    )
    temporary = model / ".manifest.json"
    shutil.copyfile(package / "manifest.json", temporary)
    os.replace(temporary, manifest)


def _plain(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _foreign(key: str) -> bool:
    # The SDK and the tuner add these.
    return key.startswith(("sagemaker_", "_tuning_"))
