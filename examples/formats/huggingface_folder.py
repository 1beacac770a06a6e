"""Pack text classification from a Hugging Face folder. Usage: python huggingface_folder.py FOLDER

The folder is as Optimum exports one: config.json, tokenizer.json and onnx/model.onnx. So that the example needs no
download, a small model is made here of words that tell of a tumour; of yours, only the last five lines are needed.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from data import tumours
from onnx import TensorProto, helper, numpy_helper
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer, models, pre_tokenizers

from model_packaging import pack


def make_folder(folder: Path, texts: pd.Series, answers: np.ndarray) -> None:
    counter = CountVectorizer(token_pattern=r"\S+").fit(texts)
    model = LogisticRegression(max_iter=1000).fit(counter.transform(texts), answers)
    words = ["[PAD]", "[UNK]", *counter.get_feature_names_out()]
    # Each word adds its weight to the second class; every text has ten words, which share the intercept.
    table = np.zeros((len(words), 2), dtype=np.float32)
    table[2:, 1] = model.coef_[0] + model.intercept_[0] / 10

    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    labels = {str(index): label for index, label in enumerate(model.classes_)}
    config = {"id2label": labels, "pad_token_id": 0, "max_position_embeddings": 64, "model_type": "bag-of-words"}
    (folder / "config.json").write_text(json.dumps(config))

    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("ReduceSum", ["rows", "tokens"], ["logits"], keepdims=0),
    ]
    constants = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "tokens")]
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])]
    graph = helper.make_graph(nodes, "words", inputs, outputs, constants)
    (folder / "onnx").mkdir()
    exported = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "onnx" / "model.onnx").write_bytes(exported.SerializeToString())


numbers, answers = tumours()
ranks = (numbers.rank(pct=True) * 20).astype(int).astype(str)
words = [name.replace(" ", "-") + "=" + ranks[name] for name in ranks]
texts = pd.Series([" ".join(row) for row in zip(*words, strict=True)])

with tempfile.TemporaryDirectory() as temporary:
    make_folder(Path(temporary), texts, answers)
    inputs = pd.DataFrame({"text": texts})
    package = pack(temporary, name="tumours", inputs=inputs, output=sys.argv[1])
    print(f"{package.path}@{package.digest}")
