"""Packing and opening a model of some gigabytes, against `tar`, `cp`, `sha256sum` and zstd on the same files.

A package is not compressed (docs/decisions/0007), so what it is like is an uncompressed tar and the digest of every
file. Weights hardly compress; zstd is beside it, and gzip takes many times longer than that.
"""

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from tests.bench.measuring import Times, say, table

_COLUMNS = 1024

_PACK = """
import json, resource, sys
import pandas as pd
from model_packaging import pack
source, output, rows = sys.argv[1:]
frame = pd.DataFrame({"row": [0, int(rows) - 1]})
package = pack(source, name="net", inputs=frame, output=output, task="regression", card=False)
print(json.dumps([package.digest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""
_OPEN = """
import json, resource, sys
from model_packaging import formats, open_package
package = open_package(sys.argv[1])
formats.load(package).predict(package.examples["inputs"])
print(json.dumps([package.digest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def run(folder: Path, megabytes: int, repeat: int) -> str:
    """Measure, and return the section of the report."""
    source = folder / "source"
    rows = _model(source, megabytes)
    bare = folder / "bare.tar"
    ours = {
        "`pack` into a folder": (_PACK, [str(source / "net.onnx"), str(folder / "package"), str(rows)]),
        "`pack` into a tar": (_PACK, [str(source / "net.onnx"), str(folder / "package.tar"), str(rows)]),
        "open the folder, load, predict": (_OPEN, [str(folder / "package")]),
    }
    both = f"tar -cf {bare} -C {folder} source && sha256sum {bare}"
    theirs = {
        "`tar -c`, `sha256sum`": both,
        "`cp`, `sha256sum`": f"cp -r {source} {folder}/copy && sha256sum {folder}/copy/*",
        "`sha256sum`": f"sha256sum {source}/*",
        "`tar -c` and zstd -3": f"tar -I 'zstd -q -3' -cf {folder}/bare.tar.zst -C {folder} source",
    }
    if not shutil.which("zstd"):
        del theirs["`tar -c` and zstd -3"]
    taken = {title: Times() for title in (*theirs, *ours)}
    peaks: dict[str, int] = {}
    digests: set[str] = set()
    for number in range(1, repeat + 1):
        for title, command in theirs.items():
            say(f"packing {megabytes} MB, {title}: {number} of {repeat}")
            _clean(folder)
            taken[title].take(partial(subprocess.run, command, shell=True, check=True, stdout=subprocess.DEVNULL))
        for title, (program, arguments) in ours.items():
            say(f"packing {megabytes} MB, {title}: {number} of {repeat}")
            if program == _PACK:
                _clean(folder, keep="package" if arguments[1].endswith(".tar") else "")
            answers: list[str] = []
            taken[title].take(partial(_into, answers, folder, program, arguments))
            digest, peak = json.loads(answers[0])
            digests.add(digest)
            peaks[title] = max(peak // 1024, peaks.get(title, 0))
    if len(digests) != 1:
        raise SystemExit(f"the same model gave packages with different digests: {digests}")
    like = {"`pack` into a folder": "`cp`, `sha256sum`", "`pack` into a tar": "`tar -c`, `sha256sum`"}
    like["open the folder, load, predict"] = "`sha256sum`"
    lines = [_line(title, times, taken, like, peaks) for title, times in taken.items()]
    head = [f"{megabytes:,} MB of weights", "seconds", "of the processor", "ratio", "ratio of processor time", "to"]
    head.append("peak MiB")
    return f"Medians of {repeat}. The digest was the same each time.\n\n{table(head, lines)}"


def _line(title: str, times: Times, taken: dict[str, Times], like: dict[str, str], peaks: dict[str, int]) -> list[str]:
    other = like.get(title)
    return [
        title,
        f"{times.seconds:.1f}",
        f"{times.processor_seconds:.1f}",
        f"**{times.seconds / taken[other].seconds:.2f}**" if other else "",
        f"**{times.processor_seconds / taken[other].processor_seconds:.2f}**" if other else "",
        other or "",
        str(peaks.get(title, "")),
    ]


def _model(folder: Path, megabytes: int) -> int:
    """An embedding whose random weights lie in a file of their own, as PyTorch's exporter leaves it; its rows."""
    folder.mkdir()
    rows = megabytes * 10**6 // (4 * _COLUMNS)
    generator = np.random.default_rng(1)
    with (folder / "net.onnx.data").open("wb") as sink:
        for start in range(0, rows, 10_000):
            sink.write(generator.standard_normal((min(10_000, rows - start), _COLUMNS), dtype=np.float32).tobytes())
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[rows, _COLUMNS])
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="net.onnx.data")
    nodes = [
        helper.make_node("Gather", ["w", "rows"], ["found"]),
        helper.make_node("ReduceMean", ["found"], ["value"], axes=[1, 2], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("rows", TensorProto.INT64, ["n", 1])]
    outputs = [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["n"])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return rows


def _into(answers: list[str], folder: Path, program: str, arguments: list[str]) -> None:
    # The temporary files lie on the disk that is written to, as do those of tar.
    environment = {"TMPDIR": str(folder), "MODELBERTH_CACHE": str(folder / "cache"), "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    answers.append(done.stdout)


def _clean(folder: Path, keep: str = "") -> None:
    for path in folder.iterdir():
        if path.name not in ("source", keep):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
