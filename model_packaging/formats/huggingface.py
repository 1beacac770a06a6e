# pyright: basic
# (tokenizers and onnxruntime carry few types)
"""Text classification: a folder in the layout of Hugging Face's Transformers, its model exported to ONNX.

`config.json` names the labels, `tokenizer.json` turns text into tokens
(https://huggingface.co/docs/tokenizers), the ONNX model turns tokens into one number for each label, of which the
softmax is taken. Nothing else of the folder is read and no code of it ever runs.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..documents import load_object
from ..errors import ModelberthError, PackageError, choices
from ..package import Package
from . import onnx
from .predictor import Predictor
from .stored import Stored

if TYPE_CHECKING:
    import pandas as pd

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
FILES = (CONFIG, TOKENIZER, SETTINGS)
MAX_TOKENIZER_BYTES = 64 * 1024 * 1024

BATCH_ROWS = 32
"""So many texts are run at once: memory grows with them and with the longest."""

_MODELS = ("onnx/model.onnx", "model.onnx")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")

_ENDLESS = 10**6
"""Transformers writes 1e30 for a tokenizer that knows no maximum."""


def load(package: Package, trusted: Sequence[str] = ()) -> Predictor:
    """Load the tokenizer and start a session. Raises PackageError."""
    config = load_object(package.read(f"model/{CONFIG}"), f"model/{CONFIG}")
    labels = labels_of(config, f"model/{CONFIG}")
    signature = package.signature
    inputs = signature["inputs"]
    if len(inputs) != 1 or inputs[0]["type"] != "string" or inputs[0]["nullable"]:
        text = "the model takes one text: one column of strings, none of them missing"
        raise PackageError(f"signature.json: {text}", file="signature.json")
    if signature["outputs"].get("classes") != labels:
        text = f"the labels of the model are {', '.join(labels[:10])}; signature.json has other classes"
        raise PackageError(f"model/{CONFIG}: {text}", file=f"model/{CONFIG}")
    settings: dict[str, Any] = {}
    if f"model/{SETTINGS}" in package.files:
        settings = load_object(package.read(f"model/{SETTINGS}"), f"model/{SETTINGS}")
    tokenizer = _tokenizer(package.read(f"model/{TOKENIZER}"), config, settings)
    session = onnx.package_session(package, [f"model/{name}" for name in FILES])
    return Predictor(signature, _Classifier(session, tokenizer, labels))


def store(folder: Path) -> tuple[Stored, str]:
    """The folder as this format's files, and what the model is. Raises ModelberthError or PackageError."""
    for name in (CONFIG, TOKENIZER):
        if not (folder / name).is_file():
            hint = "" if name == CONFIG else ": save it with the fast tokenizer of Transformers (save_pretrained)"
            raise ModelberthError(f"cannot pack the folder {folder}: it has no {name}{hint}")
    config = load_object(_read(folder / CONFIG), str(folder / CONFIG))
    labels = labels_of(config, str(folder / CONFIG))
    model = next((folder / name for name in _MODELS if (folder / name).is_file()), None)
    if model is None:
        raise ModelberthError(
            f"cannot pack the folder {folder}: it has neither {choices(_MODELS)}. Export it: "
            'pip install "optimum-onnx[onnxruntime]", then '
            f"optimum-cli export onnx --model {folder} --task text-classification {folder / 'onnx'}"
        )
    stored = onnx.stored("huggingface", model, "as a Hugging Face folder in ONNX")
    for name in FILES:
        if (folder / name).is_file():
            stored.files[f"model/{name}"] = folder / name
    kinds: Any = config.get("architectures")
    kind = str(kinds[0]) if isinstance(kinds, list) and kinds else str(config.get("model_type", "unknown"))
    return Stored(stored.format, stored.files, stored.how, "classification", list(labels), stored.made), kind


def labels_of(config: dict[str, Any], file: str) -> list[str]:
    """The labels in the order of the model's outputs; errors name `file`. Raises PackageError."""
    problem = config.get("problem_type")
    if problem not in (None, "single_label_classification"):
        text = f'problem_type is "{problem}": only single_label_classification can be served, one label for each text'
        raise PackageError(f"{file}: {text}", file=file)
    found = config.get("id2label")
    if not isinstance(found, dict) or not found:
        raise PackageError(f"{file}: id2label must name the label of each output", file=file)
    labels: list[str] = []
    for index in range(len(found)):
        label = found.get(str(index))
        if not isinstance(label, str) or not label or label in labels:
            text = f"id2label must name outputs 0 to {len(found) - 1}, each by another text; {index} is {label!r}"
            raise PackageError(f"{file}: {text}", file=file)
        labels.append(label)
    if len(labels) < 2:
        raise PackageError(f"{file}: id2label has one label, a classifier has two or more", file=file)
    return labels


class _Classifier:
    """Texts in, labels and probabilities out."""

    def __init__(self, session: Any, tokenizer: Any, labels: list[str]) -> None:
        self.session = session
        self.tokenizer = tokenizer
        self.labels = np.asarray(labels, dtype=object)
        self.inputs = [item.name for item in session.get_inputs()]
        for item in session.get_inputs():
            if item.name not in _INPUTS or item.type != "tensor(int64)":
                text = f'input "{item.name}" is {item.type}: the model may take {choices(_INPUTS)} as tensor(int64)'
                raise PackageError(f"{onnx.MODEL_FILE}: {text}", file=onnx.MODEL_FILE)
        outputs = session.get_outputs()
        self.output: str = next((item.name for item in outputs if item.name == "logits"), outputs[0].name)
        self._check_count(next(item.shape for item in outputs if item.name == self.output))

    def run(self, frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray | None]:
        texts = [str(value) for value in frame.iloc[:, 0].tolist()]
        parts = [self._logits(texts[start : start + BATCH_ROWS]) for start in range(0, len(texts), BATCH_ROWS)]
        logits = np.concatenate(parts) if parts else np.zeros((0, len(self.labels)))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        return self.labels[probabilities.argmax(axis=1)], probabilities

    def _logits(self, texts: list[str]) -> np.ndarray:
        encoded = self.tokenizer.encode_batch(texts)
        tokens = {
            "input_ids": [item.ids for item in encoded],
            "attention_mask": [item.attention_mask for item in encoded],
            "token_type_ids": [item.type_ids for item in encoded],
        }
        feed = {name: np.asarray(tokens[name], dtype=np.int64) for name in self.inputs}
        try:
            (found,) = self.session.run([self.output], feed)
        except Exception as error:  # a token beyond the model's own, which onnxruntime's operators refuse
            detail = str(error).splitlines()[0]
            raise PackageError(f"{onnx.MODEL_FILE}: cannot run: {detail}", file=onnx.MODEL_FILE) from error
        logits = np.asarray(found, dtype=np.float64)
        self._check_count(logits.shape)
        return logits

    def _check_count(self, shape: Sequence[Any]) -> None:
        count = shape[-1] if len(shape) == 2 else None
        if len(shape) != 2 or (isinstance(count, int) and count != len(self.labels)):
            told = f'"{self.output}" has the shape {list(shape)}: it must have one number for each text and label'
            text = f"{told}; id2label names {len(self.labels)}"
            raise PackageError(f"{onnx.MODEL_FILE}: {text}", file=onnx.MODEL_FILE)


def _tokenizer(content: bytes, config: dict[str, Any], settings: dict[str, Any]) -> Any:
    """The tokenizer, which cuts at the model's maximum length and pads to the longest text."""
    import tokenizers

    # Each session has the machine to itself only between requests; the server's own threads need it, too.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    file = f"model/{TOKENIZER}"
    load_object(content, file, MAX_TOKENIZER_BYTES)
    try:
        tokenizer = tokenizers.Tokenizer.from_str(content.decode())
    except BaseException as error:  # the library's own panics are no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PackageError(f"{file}: cannot be loaded: {detail}", file=file) from None
    limit = _maximum(tokenizer, config, settings)
    pad = _padding(tokenizer, config, settings)
    try:
        tokenizer.enable_truncation(limit)
    except Exception as error:
        raise PackageError(f"{file}: cannot cut texts at {limit} tokens: {error}", file=file) from None
    tokenizer.enable_padding(direction="left" if settings.get("padding_side") == "left" else "right", **pad)
    return tokenizer


def _maximum(tokenizer: Any, config: dict[str, Any], settings: dict[str, Any]) -> int:
    """How many tokens the model takes."""
    positions = config.get("max_position_embeddings")
    known: list[int] = []
    if type(positions) is int:
        # RoBERTa and its kin count positions from behind the padding token: 514 of them are 512 tokens.
        kin = any(name in str(config.get("model_type", "")) for name in ("roberta", "camembert", "longformer"))
        known.append(positions - (_whole(config.get("pad_token_id"), 1) + 1 if kin else 0))
    told = settings.get("model_max_length")
    if isinstance(told, int | float) and 0 < told < _ENDLESS:
        known.append(int(told))
    elif not known and tokenizer.truncation:
        known.append(int(tokenizer.truncation["max_length"]))
    if not known or not 0 < min(known) < _ENDLESS:
        text = f"tells no maximum length: set model_max_length in {SETTINGS} or max_position_embeddings"
        raise PackageError(f"model/{CONFIG}: {text}", file=f"model/{CONFIG}")
    return min(known)


def _padding(tokenizer: Any, config: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The token that fills shorter texts."""
    if tokenizer.padding:
        return {key: tokenizer.padding[key] for key in ("pad_id", "pad_type_id", "pad_token")}
    token = settings.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    number = tokenizer.token_to_id(token) if isinstance(token, str) else _whole(config.get("pad_token_id"), -1)
    name = tokenizer.id_to_token(number) if number is not None and number >= 0 else None
    if name is None:
        text = f"names no padding token that the tokenizer has: set pad_token in {SETTINGS} or pad_token_id"
        raise PackageError(f"model/{CONFIG}: {text}", file=f"model/{CONFIG}")
    return {"pad_id": number, "pad_type_id": 0, "pad_token": name}


def _whole(value: Any, default: int) -> int:
    return value if type(value) is int and 0 <= value < 2**31 else default


def _read(path: Path) -> bytes:
    with path.open("rb") as source:
        return source.read(MAX_TOKENIZER_BYTES)
