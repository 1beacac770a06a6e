"""A small Hugging Face folder whose answers can be worked out by hand: every token adds its own row to the logits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "good", "bad", "fine", "awful", "plot"]
TABLE = np.array(
    [[9, 9, 9], [0, 0.5, 0], [0.1, 0.2, 0.3], [2, 0, -1], [-2, 0.25, 1], [1, 0, 0], [-1, 0, 2], [0, 0.1, 0]],
    dtype=np.float32,
)
LABELS = ["positive", "neutral", "negative"]
MAXIMUM = 6

CONFIG: dict[str, Any] = {
    "architectures": ["DistilBertForSequenceClassification"],
    "model_type": "distilbert",
    "id2label": {str(index): label for index, label in enumerate(LABELS)},
    "max_position_embeddings": MAXIMUM,
    "pad_token_id": 0,
    "auto_map": {"AutoModelForSequenceClassification": "modeling_evil.Model"},
}


def write(folder: Path, table: np.ndarray = TABLE, inputs: tuple[str, ...] = ("input_ids", "attention_mask")) -> Path:
    """As Optimum's exporter leaves it: config.json and tokenizer.json, and onnx/model.onnx."""
    (folder / "onnx").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "modeling_evil.py").write_text("raise SystemExit('code of the folder ran')")
    (folder / "onnx" / "model.onnx").write_bytes(model(table, inputs))
    return folder


def model(table: np.ndarray, inputs: tuple[str, ...]) -> bytes:
    """The sum over the tokens that the mask keeps of the table's rows."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["logits"], keepdims=0),
    ]
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([2], dtype=np.int64), "last"),
        numpy_helper.from_array(np.array([1], dtype=np.int64), "middle"),
    ]
    taken = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs]
    given = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", table.shape[1]])]
    graph = helper.make_graph(nodes, "g", taken, given, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return made.SerializeToString()


def expected(text: str) -> list[float]:
    """The probabilities of a text, worked out without any library of the format."""
    known = {word: index for index, word in enumerate(WORDS)}
    tokens = [2, *(known.get(word, 1) for word in text.split())][:MAXIMUM]
    powers = np.exp(TABLE[tokens].astype(float).sum(axis=0))
    return (powers / powers.sum()).tolist()
