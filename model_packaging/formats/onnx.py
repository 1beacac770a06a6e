# pyright: basic
# (pandas, scikit-learn and onnxruntime carry no types)
"""ONNX models, run by onnxruntime on the CPU.

Two ways to take the inputs are understood: one tensor per column (as skl2onnx writes), or a single
numeric matrix of all columns. Outputs: labels and probabilities, probabilities alone, or values.

The weights lie in the model's file, or, as a file may have at most 2 GiB and is held in memory, in a safetensors file
beside it, which onnxruntime maps.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import PackageError
from ..package import Package
from . import onnx_weights, weights
from .predictor import Backend, Columns, Numbers, Predictor, class_key, count, matrix
from .stored import Stored

if TYPE_CHECKING:
    import pandas as pd

MODEL_FILE = "model/model.onnx"
WEIGHTS_FILE = "model/model.safetensors"
MAX_BYTES = 2 * 1024**3 - 1
"""What one message of Protocol Buffers may have."""

_NOWHERE = Path(os.devnull)

_DTYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


class _Session:
    def __init__(self, session: Any, signature: dict[str, Any]) -> None:
        self.session = session
        self.signature = signature
        self.inputs: dict[str, Any] = {item.name: item for item in session.get_inputs()}
        columns = [item["name"] for item in signature["inputs"]]
        self.per_column = set(self.inputs) == set(columns)
        if not self.per_column and len(self.inputs) != 1:
            text = f"the model takes {', '.join(self.inputs)}, the signature has {', '.join(columns)}"
            raise PackageError(f"{MODEL_FILE}: {text}", file=MODEL_FILE)
        for item in self.inputs.values():
            if item.type not in _DTYPES:
                text = f'input "{item.name}" is {item.type}, which is not supported'
                raise PackageError(f"{MODEL_FILE}: {text}", file=MODEL_FILE)
        kinds = {(item.type, len(item.shape)) for item in self.inputs.values()}
        self.alike = kinds.pop() if len(kinds) == 1 else None
        """Type and number of dimensions of the inputs, where all have the same."""

    def run(self, frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray | None]:
        return self.run_columns({str(name): frame[name].to_numpy() for name in frame})

    def run_columns(self, columns: Columns) -> tuple[np.ndarray, np.ndarray | None]:
        found: list[Any] = self.session.run(None, self._feed(columns))
        rows = count(columns)
        classes = self.signature["outputs"].get("classes") or []
        if self.signature["outputs"]["task"] == "regression":
            return np.asarray(found[0]).reshape(rows), None
        probabilities = None
        labels = None
        for value in found:
            if isinstance(value, list):  # a ZipMap: one dictionary per row
                keyed = [{class_key(key): item for key, item in row.items()} for row in value]
                probabilities = np.array([[row[class_key(name)] for name in classes] for row in keyed])
            elif value.ndim == 2 and value.shape[1] == len(classes):
                probabilities = value
            elif value.size == rows:
                labels = value.ravel()
        if labels is None:
            if probabilities is None:
                raise PackageError(f"{MODEL_FILE}: gives neither labels nor probabilities", file=MODEL_FILE)
            labels = np.asarray(classes, dtype=object)[probabilities.argmax(axis=1)]
        return labels, probabilities

    def _feed(self, columns: Columns) -> dict[str, np.ndarray]:
        if self.per_column:
            if self.alike and isinstance(columns, Numbers):
                # All at once, and each column in one piece, as onnxruntime would else make it.
                kind, dimensions = self.alike
                turned = np.ascontiguousarray(columns.rows.T, dtype=_DTYPES[kind])
                return dict(zip(columns.names, turned[:, :, np.newaxis] if dimensions == 2 else turned, strict=True))
            feed: dict[str, np.ndarray] = {}
            for name, item in self.inputs.items():
                column = columns[name].astype(_DTYPES[item.type], copy=False)
                feed[name] = column.reshape(-1, 1) if len(item.shape) == 2 else column
            return feed
        (item,) = self.inputs.values()
        found = matrix(columns)
        if found is None:
            found = np.column_stack([one.astype(object) for one in columns.values()])
        return {item.name: found.astype(_DTYPES[item.type], copy=False)}


def load(package: Package, trusted: Sequence[str] = ()) -> Predictor:
    """Start a session; only operators that onnxruntime ships are available."""
    return Predictor(package.signature, _Session(package_session(package), package.signature))


def backend(content: bytes, signature: dict[str, Any]) -> Backend:
    """A model's bytes behind a signature. Raises PackageError when they do not fit."""
    return _Session(session(content), signature)


def package_session(package: Package, others: Sequence[str] = ()) -> Any:
    """A session of the model in a package, which may have no model files but its own and `others`: what lies beside
    the model can be read as its weights. Raises PackageError."""
    known = (MODEL_FILE, WEIGHTS_FILE, *others)
    for file in sorted(package.files):
        if file.startswith("model/") and file not in known:
            raise PackageError(f"{file}: is no file of the format {package.format}", file=file)
    if WEIGHTS_FILE in package.files:
        weights.read(package.checked(WEIGHTS_FILE), WEIGHTS_FILE)
    return session(package.read(MODEL_FILE), folder=package.path / "model")


def store_file(path: Path) -> Stored:
    """An ONNX model as this format's file, or two where it has weights in other files. Raises PackageError when
    onnxruntime cannot load it."""
    return stored("onnx", path, "in ONNX")


def stored(name: str, path: Path, how: str) -> Stored:
    """An ONNX model as the files of a format that is one with something around it."""
    if path.stat().st_size > MAX_BYTES:
        text = f"{path.stat().st_size:,} bytes, an ONNX file may have {MAX_BYTES:,}: export it with external data"
        raise PackageError(f"{path}: {text}", file=str(path))
    content = path.read_bytes()
    if not onnx_weights.has_any(content):
        session(content, str(path))
        return Stored(name, {MODEL_FILE: path}, how)
    folder = tempfile.TemporaryDirectory(prefix="modelberth-")
    gathered = Path(folder.name) / Path(WEIGHTS_FILE).name
    content = onnx_weights.gather(content, path, gathered)
    session(content, str(path), Path(folder.name))
    if not gathered.exists():
        return Stored(name, {MODEL_FILE: content}, how)
    files: dict[str, bytes | Path] = {MODEL_FILE: content, WEIGHTS_FILE: gathered}
    return Stored(name, files, f"{how}, with weights in safetensors", made=folder)


def session(content: bytes, file: str = MODEL_FILE, folder: Path = _NOWHERE) -> Any:
    """An onnxruntime session of a model's bytes, which may have weights in files of the folder.
    Raises PackageError when it is not a usable model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # whatever it reports is in its exception, too
    # Without a folder it would look for weights where the process happens to run.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    # One replica shares its machine with the server's own threads; more is asked for explicitly.
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no public base
        detail = str(error).splitlines()[0]
        raise PackageError(f"{file}: cannot be loaded: {detail}", file=file) from error
