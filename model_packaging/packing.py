# pyright: basic
# (scikit-learn and pandas carry no types)
"""Make a package. The same input gives the same bytes: see docs/package-format.md."""

import hashlib
import io
import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from . import baseline as baselines
from . import formats
from .archive import BLOCK_BYTES, write_tar
from .datasets import data_version, records
from .documents import dumps
from .environment import distributions_of, environment_lock
from .errors import InputError, ModelberthError
from .formats.convert import to_onnx
from .formats.store import Source, store
from .package import Package, keep, verify
from .schema import MANIFEST, SCHEMA_VERSION
from .signatures import infer_inputs, infer_outputs

BASELINE_ROWS = 10_000
TOLERANCE = 1e-6


def pack(
    model: Any,
    *,
    name: str,
    inputs: Any,
    output: str | Path,
    data: Any = None,
    validation: dict[str, Any] | None = None,
    description: str = "",
    intended_use: str = "",
    examples: Any = 5,
    task: str | None = None,
    classes: Sequence[Any] | None = None,
    card: bool = True,
    created: datetime | None = None,
    trusted: Sequence[str] = (),
    prefer_onnx: bool = False,
    allow_pickle: bool = False,
) -> Package:
    """Pack a fitted model into `output`.

    `model` is a fitted estimator of scikit-learn, a model of XGBoost, LightGBM or CatBoost (native, or by its
    scikit-learn wrapper), a model file of any of the formats, a folder that MLflow wrote, or a Hugging Face folder for
    text classification with its model in ONNX.

    `inputs` is a DataFrame of the rows the model was trained on: it gives the signature, the
    baseline and the examples. `data` is a `data_version(...)`, or a DataFrame or files to make one
    of; `validation` comes from `validate(...)`, which also gives the baseline its predictions: those on
    rows the model had not seen, because a model answers the ones it learnt more surely than any traffic.
    For ONNX give `task`, and `classes` of a classifier; a booster alone knows its classes only as 0, 1, ….
    With `prefer_onnx` a scikit-learn estimator is converted to ONNX where that gives the same predictions.
    With `allow_pickle` a pickle may be read, and an estimator that skops cannot describe is pickled; whoever
    loads the package must allow that too. The card says in which form the model is kept.
    `examples` is how many rows of `inputs` the package quotes, spread evenly over them, or a DataFrame of rows to
    quote in their place, where rows of the training data should not leave the house.
    `description` says what the model tells, `intended_use` what for and what not for; the card shows both.
    `created` (else the environment's SOURCE_DATE_EPOCH, else nothing) is recorded in the manifest.
    `output` is a folder, or a path ending in `.tar`; an earlier package there is replaced.
    """
    import pandas as pd

    if not isinstance(inputs, pd.DataFrame) or not len(inputs):
        raise ModelberthError("inputs must be a pandas DataFrame with at least one row")
    target = Path(output)
    _check_target(target)
    if data is not None and not isinstance(data, dict):
        data = data_version(data, name=name)
    source = store(model, trusted=trusted, allow_pickle=allow_pickle)
    if source.estimator is None and not (task or source.stored.task):
        raise ModelberthError(
            f"{model}: the file does not tell what it predicts: give the task, and a classifier's classes"
        )
    outputs = infer_outputs(
        source.estimator,
        task or source.stored.task,
        list(classes) if classes is not None else source.stored.classes,
    )
    validation = None if validation is None else dict(validation)
    predictions: dict[str, Any] = (validation or {}).pop("predictions", {})
    texts = formats.FORMATS[source.stored.format].reads_texts
    signature = {"inputs": infer_inputs(inputs, texts=texts), "outputs": outputs}
    stored = to_onnx(source, signature, inputs, TOLERANCE) if prefer_onnx else source.stored
    modules = [] if stored.format == "onnx" else _modules(source.estimator)
    lock = environment_lock(distributions_of([*formats.FORMATS[stored.format].libraries, *modules]))

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".modelberth-") as temporary:
        folder = Path(temporary) / "package"
        folder.mkdir()
        made = Path(stored.made.name) if stored.made else None
        model_files = {file: _put(folder / file, content, made) for file, content in sorted(stored.files.items())}
        (folder / "environment.lock").write_text(lock)
        documents: dict[str, Any] = {"signature.json": signature}
        header = {
            "schema_version": SCHEMA_VERSION,
            "name": name,
            "format": stored.format,
            "description": description,
            "python": platform.python_version(),
            "model": _describe(source) | {"stored": stored.how},
        } | _created(created)
        if intended_use:
            header["intended_use"] = intended_use
        # The examples and the baseline come from the model as it will be loaded, not as it is here.
        provisional = _provisional(folder, header, signature, model_files)
        predictor = formats.load(provisional, trusted=trusted, allow_pickle=allow_pickle)
        documents["examples.json"] = _examples(predictor, inputs, examples)
        unseen = predictions.get("baseline") or _said(predictor, inputs, signature)
        documents["baseline.json"] = baselines.rounded(baselines.baseline(inputs, signature, unseen, texts=texts))
        if "holdout" in predictions:
            documents["holdout.json"] = predictions["holdout"]
        if data is not None:
            documents["data.json"] = data
        if validation is not None:
            documents["validation.json"] = validation
        for file, document in documents.items():
            _write(folder, file, document)
        if card:
            from .card import render

            for file, text in render(header, documents, lock).items():
                (folder / file).write_text(text, encoding="utf-8")
        _write(folder, MANIFEST, header | {"files": _listing(folder, model_files)})
        package = verify(folder)
        return _place(package, target)


def _check_target(target: Path) -> None:
    if target.suffix == ".tar":
        return
    if target.exists() and not target.is_dir():
        raise ModelberthError(f"cannot write {target}: it is not a folder")
    if target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).exists():
        raise ModelberthError(f"cannot write {target}: it holds files that are not a package")


def _place(package: Package, target: Path) -> Package:
    if target.suffix == ".tar":
        write_tar(package.path, list(package.files), target)
        return keep(package)
    if target.exists():
        shutil.rmtree(target)
    package.path.rename(target)
    return replace(package, path=target)


def _modules(model: Any) -> list[str]:
    steps = [step for _, step in getattr(model, "steps", [])]
    return sorted({type(part).__module__.partition(".")[0] for part in [model, *steps]})


def _describe(source: Source) -> dict[str, Any]:
    """What the model is, for the card: types, steps and the parameters that were chosen."""
    model = source.estimator
    if model is None:
        return {"type": source.kind, "steps": [], "parameters": {}}
    steps = [
        {"name": name, "type": type(step).__name__, "parameters": _parameters(step)}
        for name, step in getattr(model, "steps", [])
    ]
    return {"type": type(model).__name__, "steps": steps, "parameters": {} if steps else _parameters(model)}


def _parameters(estimator: Any) -> dict[str, Any]:
    if not hasattr(estimator, "get_params"):
        return {}
    return {key: _plain(value) for key, value in sorted(estimator.get_params(deep=False).items())}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(str(item) for item in value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    # A repr may hold a memory address; the name of the type never does.
    return getattr(value, "__name__", type(value).__name__)


def _created(created: datetime | None) -> dict[str, str]:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if created is None and epoch:
        created = datetime.fromtimestamp(int(epoch), UTC)
    return {} if created is None else {"created": created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def _provisional(folder: Path, header: dict[str, Any], signature: dict[str, Any], files: dict[str, Any]) -> Package:
    manifest = header | {"files": files}
    return Package(folder, "sha256:" + "0" * 64, manifest, {"signature.json": signature})


def _put(target: Path, content: bytes | Path, made: Path | None) -> dict[str, Any]:
    """Write a file, block by block where it comes from a file, and return its entry in the manifest. What lies in
    the folder `made` is moved."""
    target.parent.mkdir(exist_ok=True)
    if isinstance(content, Path) and content.parent == made:
        shutil.move(content, target)
        with target.open("rb") as source:
            return {"sha256": hashlib.file_digest(source, "sha256").hexdigest(), "bytes": target.stat().st_size}
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as sink, content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as source:
        while block := source.read(BLOCK_BYTES):
            digest.update(block)
            size += sink.write(block)
    return {"sha256": digest.hexdigest(), "bytes": size}


def _listing(folder: Path, known: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The entries of all files; those that are known are not read again."""
    files = dict(known)
    for path in folder.rglob("*"):
        file = path.relative_to(folder).as_posix()
        if path.is_file() and file not in known:
            content = path.read_bytes()
            files[file] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    return files


def _write(folder: Path, file: str, document: Any) -> None:
    try:
        (folder / file).write_bytes(dumps(document))
    except (ValueError, TypeError) as error:
        raise ModelberthError(f"{file}: cannot be written as JSON: {error}") from error


def _spread(frame: Any, count: int) -> Any:
    """At most `count` rows, evenly over the frame: no randomness, and not only its beginning."""
    return frame.iloc[np.unique(np.linspace(0, len(frame) - 1, min(count, len(frame))).astype(int))]


def _examples(predictor: Any, inputs: Any, given: Any) -> dict[str, Any]:
    import pandas as pd

    if isinstance(given, int):
        given = _spread(inputs, max(given, 1))
    elif not isinstance(given, pd.DataFrame):
        raise ModelberthError(f"examples is {type(given).__name__}: give a number of rows, or a DataFrame of them")
    rows = records(given)
    if not rows:
        raise ModelberthError("examples has no rows: give at least one, or how many rows of the inputs to take")
    try:
        return {"inputs": rows, "predictions": predictor.predict(rows), "tolerance": TOLERANCE}
    except InputError as error:
        raise ModelberthError(*(f"examples: {problem}" for problem in error.problems)) from error


def _said(predictor: Any, inputs: Any, signature: dict[str, Any]) -> dict[str, Any]:
    """Summaries of what the model says of the rows that it learnt."""
    return baselines.prediction_summaries(
        signature["outputs"], predictor.predict(records(_spread(inputs, BASELINE_ROWS)))
    )
