"""Model files that are not what they say, in packages whose sha256 fits: refused by name, before native code."""

import contextlib
import hashlib
import json
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from model_packaging import ModelberthError, PackageError, formats, open_package, pack
from model_packaging.formats.store import store
from model_packaging.package import Package
from tests.unit.formats.conftest import BOOSTERS, KINDS
from tests.unit.formats.opaque import Opaque

Packed = Callable[[str], tuple[Any, Package]]

FILES = {
    "catboost": "model/model.cbm",
    "lightgbm": "model/model.txt",
    "onnx": "model/model.onnx",
    "sklearn-skops": "model/model.skops",
    "xgboost": "model/model.json",
}


class Bomb:
    """Unpickling it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def replaced(package: Package, target: Path, content: bytes, file: str | None = None) -> Package:
    """A copy of which one file, else the model's, holds something else, with the right sha256 in its manifest."""
    folder = Path(shutil.copytree(package.path, target))
    name = file or FILES[package.format]
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return open_package(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_pickle_in_disguise_is_refused_and_does_not_run(packed: Packed, tmp_path: Path, name: str) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "ran"))
    with pytest.raises(PackageError, match=FILES[name]):
        formats.load(replaced(packed(name)[1], tmp_path / "p", bomb))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", BOOSTERS)
@pytest.mark.parametrize("other", FILES)
def test_the_file_of_another_format_is_refused(packed: Packed, tmp_path: Path, name: str, other: str) -> None:
    if other == name:
        return
    content = packed(other)[1].read(FILES[other])
    with pytest.raises(PackageError, match=FILES[name]):
        formats.load(replaced(packed(name)[1], tmp_path / "p", content))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("part", [0, 1, 9, 0.3, 0.7])
def test_half_a_file_is_refused(packed: Packed, tmp_path: Path, name: str, part: float) -> None:
    content = packed(name)[1].read(FILES[name])
    cut = content[: int(part * len(content)) if isinstance(part, float) else part]
    with pytest.raises(PackageError, match=FILES[name]):
        formats.load(replaced(packed(name)[1], tmp_path / "p", cut))


@pytest.mark.parametrize("name", BOOSTERS)
def test_another_number_of_features_is_refused(
    packed: Packed, frame: pd.DataFrame, labels: Any, tmp_path: Path, name: str
) -> None:
    from tests.unit.formats.conftest import fitted

    narrow = pack(fitted(name, frame[["hour"]], labels), name="m", inputs=frame[["hour"]], output=tmp_path / "n")
    with pytest.raises(PackageError, match=r"takes 1 features, signature.json has 3 inputs"):
        formats.load(replaced(packed(name)[1], tmp_path / "p", narrow.read(FILES[name])))
    turned = frame[["hour", "distance", "late before"]]
    other = pack(fitted(name, turned, labels), name="m", inputs=turned, output=tmp_path / "t")
    with pytest.raises(
        PackageError, match=r'feature 0 of the model is "hour", input 0 of signature.json is "distance"'
    ):
        formats.load(replaced(packed(name)[1], tmp_path / "q", other.read(FILES[name])))


@pytest.mark.parametrize("name", BOOSTERS)
def test_another_task_or_other_classes_are_refused(packed: Packed, tmp_path: Path, name: str) -> None:
    _, package = packed(name)
    for number, (outputs, reason) in enumerate(
        [
            ({"task": "regression"}, "which is classification; signature.json says regression"),
            ({"task": "classification", "classes": ["a", "b", "c"]}, "2 classes apart, signature.json has 3"),
        ]
    ):
        changed = json.dumps(package.signature | {"outputs": outputs}).encode()
        with pytest.raises(PackageError, match=reason):
            formats.load(replaced(package, tmp_path / f"p{number}", changed, "signature.json"))


def tree(document: dict[str, Any]) -> dict[str, Any]:
    return document["learner"]["gradient_booster"]["model"]["trees"][0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: tree(d)["left_children"].__setitem__(0, 10**6), "left_children leads out of the tree"),
        (lambda d: tree(d)["left_children"].__setitem__(0, 0), "is not a tree"),
        (lambda d: tree(d)["split_indices"].__setitem__(0, 77), "split_indices names no feature"),
        (lambda d: tree(d)["base_weights"].pop(), "base_weights has .* entries for"),
        (lambda d: tree(d).update(parents="abc"), "parents"),
        (lambda d: tree(d)["tree_param"].update(num_nodes="1000000"), "entries for 1000000 nodes"),
        (lambda d: d["learner"]["gradient_booster"]["model"].update(tree_info=[9] * 8), "tree_info names a class"),
        (lambda d: d["learner"].pop("gradient_booster"), "gradient_booster"),
        (lambda d: d["learner"].update(feature_names=["a"]), "1 feature names for 3 features"),
    ],
)
def test_a_tree_of_xgboost_that_leads_astray_is_refused(
    packed: Packed, tmp_path: Path, change: Callable[[Any], Any], reason: str
) -> None:
    _, package = packed("xgboost")
    document = json.loads(package.read(FILES["xgboost"]))
    change(document)
    with pytest.raises(PackageError, match=rf"model/model.json: .*{reason}"):
        formats.load(replaced(package, tmp_path / "p", json.dumps(document).encode()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda cats: cats["sorted_idx"].__setitem__(0, 8), "cats.sorted_idx is no order"),
        (lambda cats: cats["feature_segments"].__setitem__(1, 9), "cats.feature_segments do not fit"),
        (lambda cats: cats["enc"].append(cats["enc"][0]), "cats.enc has 2 columns for 1 features"),
        (lambda cats: cats["enc"][0]["offsets"].__setitem__(-1, 500), "cats.enc 0: offsets do not fit"),
    ],
)
def test_categories_of_xgboost_that_lead_astray_are_refused(
    tmp_path: Path, change: Callable[[Any], Any], reason: str
) -> None:
    import xgboost

    frame = pd.DataFrame({"c": pd.Categorical(["u", "v"] * 20)})
    model = xgboost.XGBClassifier(n_estimators=2, enable_categorical=True, n_jobs=1).fit(frame, [0, 1] * 20)
    package = pack(model, name="m", inputs=frame, output=tmp_path / "m")
    document = json.loads(package.read(FILES["xgboost"]))
    change(document["learner"]["gradient_booster"]["model"]["cats"])
    with pytest.raises(PackageError, match=rf"model/model.json: .*{reason}"):
        formats.load(replaced(package, tmp_path / "p", json.dumps(document).encode()))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("left_child=", "left_child=99999 ", "tree_sizes: tree 0 has another size"),
        ("num_leaves=6", "num_leaves=5", "numbers, must have"),
        ("max_feature_idx=2", "max_feature_idx=7", "feature_names and max_feature_idx differ"),
        ("split_feature=", "split_feature=-", "split_feature|another size"),
        ("num_class=1", "num_class=many", "invalid literal"),
        ("end of trees", "end of tree", "breaks off"),
        ("internal_value=0", "internal_value=W", "could not convert"),
        ("tree_sizes=", "tree_sizes=1 ", "tree_sizes has"),
        ("pandas_categorical:[]", "pandas_categorical:{}", "pandas_categorical must be a list"),
    ],
)
def test_a_tree_of_lightgbm_that_leads_astray_is_refused(
    packed: Packed, tmp_path: Path, old: str, new: str, reason: str
) -> None:
    _, package = packed("lightgbm")
    text = package.read(FILES["lightgbm"]).decode()
    assert old in text
    with pytest.raises(PackageError, match=rf"model/model.txt: .*({reason})"):
        formats.load(replaced(package, tmp_path / "p", text.replace(old, new, 1).encode()))


def test_a_file_that_ends_catboosts_process_is_refused(
    packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which bytes do it depends on the version of CatBoost; that the end of the process is told does not."""
    from model_packaging.formats import catboost

    _, package = packed("catboost")
    monkeypatch.setattr(catboost, "_TRIAL", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(
        PackageError, match=r"model/model.cbm: CatBoost cannot load it: it ends the process \(SIGSEGV\)"
    ):
        formats.load(package)


@pytest.mark.parametrize("seed", range(12))
def test_damage_within_a_model_of_catboost_never_ends_this_process(packed: Packed, tmp_path: Path, seed: int) -> None:
    _, package = packed("catboost")
    content, chance = bytearray(package.read(FILES["catboost"])), random.Random(seed)
    for _ in range(chance.choice([1, 4, 20])):
        content[chance.randrange(8, len(content))] = chance.randrange(256)
    with contextlib.suppress(PackageError):
        formats.load(replaced(package, tmp_path / "p", bytes(content)))


def test_a_pickle_loads_only_when_it_is_allowed(packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    _, package = packed("sklearn-pickle")
    with pytest.raises(PackageError, match=r"loading a pickle runs whatever code.*MODELBERTH_ALLOW_PICKLE=1"):
        formats.load(package)
    monkeypatch.setenv("MODELBERTH_ALLOW_PICKLE", "0")
    with pytest.raises(PackageError):
        formats.load(package)
    monkeypatch.setenv("MODELBERTH_ALLOW_PICKLE", "1")
    assert formats.load(package).predict(package.examples["inputs"])


def test_a_pickle_is_made_only_when_it_is_allowed(frame: pd.DataFrame, labels: Any, tmp_path: Path) -> None:
    model = Opaque().fit(frame, labels)
    with pytest.raises(ModelberthError, match=r"not known to be harmless: tests.*Opaque"):
        pack(model, name="m", inputs=frame, output=tmp_path / "m")
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(ModelberthError, match=r"is a pickle: reading it runs .*--allow-pickle"):
        pack(tmp_path / "m.pkl", name="m", inputs=frame, output=tmp_path / "m")
    assert not (tmp_path / "ran").exists()


def test_a_file_named_as_another_format_is_refused(packed: Packed, tmp_path: Path) -> None:
    for name, suffix in (("catboost", ".json"), ("lightgbm", ".cbm"), ("xgboost", ".txt"), ("onnx", ".ubj")):
        (tmp_path / f"m{suffix}").write_bytes(packed(name)[1].read(FILES[name]))
        with pytest.raises(PackageError, match=rf"m\{suffix}: must be"):
            store(tmp_path / f"m{suffix}")


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/passwd"])
def test_onnx_may_not_read_weights_from_elsewhere(
    packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    from onnx import TensorProto, helper

    (tmp_path / "here").mkdir()
    for folder in (tmp_path, tmp_path / "here"):
        (folder / "weights.bin").write_bytes(bytes(12))
    monkeypatch.chdir(tmp_path / "here")
    weights = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[3, 1], data_location=TensorProto.EXTERNAL)
    entry = weights.external_data.add()
    entry.key, entry.value = "location", location
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "W"], ["y"])], "g", inputs, outputs, [weights])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    with pytest.raises(PackageError, match=r"model/model.onnx: cannot be loaded"):
        formats.load(replaced(packed("onnx")[1], tmp_path / "p", content))


def test_every_format_has_a_hostile_test() -> None:
    """Those of text classification stand in test_formats_huggingface."""
    assert {*FILES, "sklearn-pickle"} == set(KINDS) == {*formats.FORMATS} - {"huggingface"}
