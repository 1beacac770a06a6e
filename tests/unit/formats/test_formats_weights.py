"""Weights beside an ONNX model: gathered into safetensors, mapped where they lie, and refused when they lie."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from onnx import ModelProto, TensorProto, helper
from safetensors.numpy import load_file, save_file

from model_packaging import PackageError, formats, open_package, pack
from model_packaging.formats import weights
from model_packaging.package import Package
from tests.unit.formats.test_formats_hostile import replaced

WEIGHTS = "model/model.safetensors"
MATRIX = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]], dtype=np.float32)
BIAS = np.array([0.1, -0.2, 0.3], dtype=np.float32)
FRAME = pd.DataFrame({"a": [0.0, 1.0, -2.0], "b": [3.0, 0.5, 1.0]})


def tensor(name: str, shape: list[int], **where: Any) -> TensorProto:
    made = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in where.items():
        made.external_data.add(key=key, value=str(value))
    return made


def graph(matrix: TensorProto, bias: TensorProto) -> ModelProto:
    nodes = [
        helper.make_node("MatMul", ["rows", "layer.weight"], ["product"]),
        helper.make_node("Add", ["product", "layer.bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    inputs = [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", 2])]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3])]
    made = helper.make_graph(nodes, "g", inputs, outputs, [matrix, bias])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def by_name(tmp_path: Path) -> Path:
    """A graph beside the safetensors file of its weights, found by their names."""
    save_file({"layer.weight": MATRIX, "layer.bias": BIAS, "unused": BIAS}, tmp_path / "net.safetensors")
    where = {"location": "net.safetensors"}
    model = graph(tensor("layer.weight", [2, 3], **where), tensor("layer.bias", [3], **where))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "net.onnx"


@pytest.fixture
def by_offset(tmp_path: Path) -> Path:
    """As exporters leave it: one file of raw bytes."""
    (tmp_path / "net.onnx.data").write_bytes(bytes(64) + BIAS.tobytes() + bytes(52) + MATRIX.tobytes())
    model = graph(
        tensor("layer.weight", [2, 3], location="net.onnx.data", offset=128, length=24),
        tensor("layer.bias", [3], location="net.onnx.data", offset=64, length=12),
    )
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "net.onnx"


def packed(path: Path, output: Path, **options: Any) -> Package:
    classes = ["x", "y", "z"]
    settings: dict[str, Any] = {"name": "net", "inputs": FRAME, "task": "classification", "classes": classes}
    return pack(path, output=output, card=False, **settings | options)


def expected() -> np.ndarray:
    logits = FRAME.to_numpy(np.float32) @ MATRIX + BIAS
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["by_name", "by_offset"])
def test_weights_beside_the_model_become_safetensors(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = request.getfixturevalue(kind)
    package = packed(source, tmp_path / "p")
    assert sorted(file for file in package.files if file.startswith("model/")) == ["model/model.onnx", WEIGHTS]
    assert package.manifest["model"]["stored"] == "in ONNX, with weights in safetensors"
    kept = load_file(package.path / WEIGHTS)
    assert sorted(kept) == ["layer.bias", "layer.weight"]
    np.testing.assert_array_equal(kept["layer.weight"], MATRIX)
    np.testing.assert_array_equal(kept["layer.bias"], BIAS)
    monkeypatch.chdir(tmp_path.parent)
    said = formats.load(open_package(package.path)).predict(FRAME.to_dict("records"))
    given = [list(item["probabilities"].values()) for item in said]
    np.testing.assert_allclose(given, expected(), rtol=1e-6)
    assert packed(source, tmp_path / "again.tar").digest == package.digest


def test_the_packed_graph_is_one_for_any_runtime(by_offset: Path, tmp_path: Path) -> None:
    import onnxruntime

    package = packed(by_offset, tmp_path / "p")
    session = onnxruntime.InferenceSession(package.path / "model/model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"rows": FRAME.to_numpy(np.float32)})
    np.testing.assert_allclose(found, expected(), rtol=1e-6)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "none.bin", "link.bin", ""])
def test_weights_outside_the_folder_of_the_model_are_not_packed(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    model = graph(tensor("layer.weight", [2, 3], location=location), tensor("layer.bias", [3], location=location))
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(PackageError, match=r'tensor "layer.weight": .* is no file in the folder of the model'):
        packed(folder / "net.onnx", tmp_path / "p")
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({"offset": 120}, "does not lie in net.bin, which has 128 bytes"),
        ({"offset": -4}, "does not lie in"),
        ({"offset": 2**70}, "does not lie in"),
        ({"offset": "x"}, "offset and length must be numbers"),
        ({"offset": 0, "length": 8}, "does not lie in"),
    ],
)
def test_weights_that_are_not_where_they_should_be_are_refused(
    tmp_path: Path, where: dict[str, Any], reason: str
) -> None:
    (tmp_path / "net.bin").write_bytes(bytes(128))
    matrix = tensor("layer.weight", [2, 3], location="net.bin", **where)
    (tmp_path / "net.onnx").write_bytes(graph(matrix, matrix).SerializeToString())
    with pytest.raises(PackageError, match=reason):
        packed(tmp_path / "net.onnx", tmp_path / "p")


def test_safetensors_without_the_tensor_are_refused(by_name: Path, tmp_path: Path) -> None:
    save_file({"layer.weight": MATRIX.T.copy(), "layer.bias": BIAS}, tmp_path / "net.safetensors")
    with pytest.raises(PackageError, match=r'"layer.weight": net.safetensors holds no such tensor of \[2, 3\] F32'):
        packed(by_name, tmp_path / "p")


def header(entries: Any, data: bytes = bytes(36), length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(begin: int, end: int, shape: Any, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


HOSTILE = {
    "shorter than a length": (bytes(5), "is no safetensors file"),
    "a header beyond the file": (header({}, length=2**63), "header of 9,223,372,036,854,775,808 bytes in a file of"),
    "a header into the data": (header({"a": entry(0, 36, [9])}, length=60 + 20), "not JSON|not UTF-8"),
    "a huge header": (header(b"{}" + b" " * 17_000_000), "the limit is 16,777,216"),
    "not JSON": (header(b"\x80\x04pickle"), "not UTF-8|not JSON"),
    "a list": (header([]), "must be a JSON object"),
    "the same name twice": (header(b'{"a": 1, "a": 2}'), "appears twice"),
    "overlapping": (header({"a": entry(0, 24, [6]), "b": entry(12, 36, [6])}), 'tensor "b" begins at 12'),
    "a hole": (header({"a": entry(0, 12, [3]), "b": entry(24, 36, [3])}), "begins at 24, the one before ends at 12"),
    "beyond the end": (header({"a": entry(0, 48, [12])}), "bytes, the header tells of"),
    "bytes that belong to none": (header({"a": entry(0, 12, [3])}), "bytes, the header tells of"),
    "huge dimensions": (header({"a": entry(0, 36, [2**62, 2**62])}), "takes 85,070,591,730,234,615,"),
    "a thousand dimensions": (header({"a": entry(0, 36, [2**62] * 1000)}), "needs a dtype"),
    "negative dimensions": (header({"a": entry(0, 36, [-3, -3])}), "needs a dtype"),
    "true as a dimension": (header({"a": entry(0, 36, [9, True])}), "needs a dtype"),
    "offsets backwards": (header({"a": entry(36, 0, [9])}), "takes 36 bytes, has -36"),
    "an unknown type": (header({"a": entry(0, 36, [9], "PICKLE")}), "needs a dtype of F64"),
    "no shape": (header({"a": {"dtype": "F32", "data_offsets": [0, 36]}}), "needs a dtype"),
    "three offsets": (header({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 3, 36]}}), "needs a dtype"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_safetensors_are_refused(by_name: Path, tmp_path: Path, case: str) -> None:
    content, reason = HOSTILE[case]
    with pytest.raises(PackageError, match=rf"{WEIGHTS}: .*({reason})"):
        formats.load(replaced(packed(by_name, tmp_path / "p"), tmp_path / "q", content, WEIGHTS))


def test_what_safetensors_writes_is_read(tmp_path: Path) -> None:
    arrays = {"a": np.arange(5, dtype=np.int8), "b": np.ones((2, 3)), "empty": np.zeros((0, 4), np.float16)}
    save_file(arrays, tmp_path / "s", metadata={"format": "np"})
    found = weights.read(tmp_path / "s", "s")
    content = (tmp_path / "s").read_bytes()
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        assert content[found[name].offset :][: found[name].size] == array.tobytes()


def test_a_graph_that_reads_another_place_of_its_package_is_refused(by_name: Path, tmp_path: Path) -> None:
    """Only model.safetensors may lie beside the graph, and it must hold what the graph asks for."""
    package = packed(by_name, tmp_path / "p")
    model = ModelProto.FromString(package.read("model/model.onnx"))
    for number, location in enumerate(("../examples.json", "../../net.safetensors", "/etc/passwd", "model.onnx.data")):
        for item in model.graph.initializer:
            item.external_data[0].value = location
        with pytest.raises(PackageError, match=r"model/model.onnx: cannot be loaded"):
            formats.load(replaced(package, tmp_path / f"q{number}", model.SerializeToString(), "model/model.onnx"))
    with pytest.raises(PackageError, match=r"model/more.bin: is no file of the format onnx"):
        formats.load(replaced(package, tmp_path / "r", b"more", "model/more.bin"))


def test_onnx_reads_no_weights_where_the_process_runs(
    by_name: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime does so by itself for a model that it is given as bytes."""
    nodes = [helper.make_node("Gather", ["w", "rows"], ["y"])]
    inputs = [helper.make_tensor_value_info("rows", TensorProto.INT64, ["n", 2])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, 4])]
    made = helper.make_graph(nodes, "g", inputs, outputs, [tensor("w", [4, 4], location="here.bin")])
    content = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    (tmp_path / "here.bin").write_bytes(bytes(64))
    monkeypatch.chdir(tmp_path)
    package = packed(by_name, tmp_path / "p")
    with pytest.raises(PackageError, match=r"model/model.onnx: cannot be loaded.*does not exist"):
        formats.load(replaced(package, tmp_path / "q", content, "model/model.onnx"))


PROGRAM = """
import resource, sys
import numpy as np
import pandas as pd
from onnx import TensorProto, helper
from model_packaging import formats, open_package, pack
from model_packaging.publish import publish, pull

folder, rows = sys.argv[1], int(sys.argv[2])
with open(f"{folder}/net.onnx.data", "wb") as sink:
    for number in range(rows // 1000):
        sink.write(np.full((1000, 256), number, np.float32).tobytes())
table = TensorProto(name="table", data_type=TensorProto.FLOAT, dims=[rows, 256], data_location=TensorProto.EXTERNAL)
table.external_data.add(key="location", value="net.onnx.data")
nodes = [
    helper.make_node("Gather", ["table", "rows"], ["found"]),
    helper.make_node("ReduceMean", ["found"], ["value"], axes=[1, 2], keepdims=0),
]
inputs = [helper.make_tensor_value_info("rows", TensorProto.INT64, ["n", 1])]
outputs = [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["n"])]
graph = helper.make_graph(nodes, "g", inputs, outputs, [table])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
open(f"{folder}/net.onnx", "wb").write(model.SerializeToString())
frame = pd.DataFrame({"row": [0, 5000, rows - 1]})
package = pack(f"{folder}/net.onnx", name="net", inputs=frame, output=f"{folder}/p.tar", task="regression", card=False)
address = publish(package, f"file://{folder}/bucket")
pulled = pull(address, f"{folder}/pulled")
said = formats.load(open_package(f"{folder}/p.tar")).predict([{"row": rows - 1}])
assert said == [rows // 1000 - 1], said
print(pulled.digest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    """Packed into a tar, published, pulled, opened, loaded and asked: 10 MB and 300 MB take the same memory."""
    peaks: dict[int, int] = {}
    for rows in (10_000, 300_000):
        folder = tmp_path / str(rows)
        folder.mkdir()
        command = [sys.executable, "-c", PROGRAM, str(folder), str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        peaks[rows] = int(done.stdout.split()[-1]) // 1024
    assert peaks[300_000] - peaks[10_000] < 40, f"MiB at the highest, by the number of rows: {peaks}"
