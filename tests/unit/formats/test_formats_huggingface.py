"""Text classification from a Hugging Face folder: cut, padded, right to the digit, and no code of it runs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from model_packaging import ModelberthError, PackageError, formats, pack
from model_packaging.package import Package
from tests.unit.formats import folders
from tests.unit.formats.test_formats_hostile import replaced
from tests.unit.serving.conftest import Server

TEXTS = ["good plot", "bad", "awful awful plot plot plot plot plot bad", "never seen", "fine", ""]
FRAME = pd.DataFrame({"text": TEXTS})


def packed(folder: Path, output: Path, **options: Any) -> Package:
    return pack(folder, output=output, **{"name": "mood", "inputs": FRAME, "card": False} | options)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("huggingface")
    return packed(folders.write(folder / "mood"), folder / "package", card=True)


def changed(tmp_path: Path, **config: Any) -> Path:
    folder = folders.write(tmp_path / "mood")
    (folder / "config.json").write_text(json.dumps(folders.CONFIG | config))
    return folder


def test_the_probabilities_are_those_of_the_tokens(package: Package) -> None:
    """Whatever else is in the batch: padding adds nothing, though its row of the table is large."""
    predictor = formats.load(package)
    together = predictor.predict([{"text": text} for text in TEXTS * 20])
    for text, said in zip(TEXTS * 20, together, strict=True):
        assert list(said["probabilities"]) == folders.LABELS
        assert list(said["probabilities"].values()) == pytest.approx(folders.expected(text), abs=1e-6)
        assert said["label"] == folders.LABELS[int(np.argmax(folders.expected(text)))]
    assert predictor.predict([]) == []


def test_a_long_text_is_cut_at_the_models_maximum(package: Package) -> None:
    short, long = ("plot " * count + "good" for count in (5, 50_000))
    first, second = formats.load(package).predict([{"text": short}, {"text": long}])
    assert first == second
    assert list(first["probabilities"].values()) == pytest.approx(folders.expected("plot " * 5), abs=1e-6)


def test_the_package_holds_what_is_needed_and_says_what_it_is(package: Package) -> None:
    assert sorted(file for file in package.files if file.startswith("model/")) == [
        "model/config.json",
        "model/model.onnx",
        "model/tokenizer.json",
    ]
    assert package.format == "huggingface"
    assert package.manifest["model"]["type"] == "DistilBertForSequenceClassification"
    assert package.signature["outputs"] == {"task": "classification", "classes": folders.LABELS}
    assert "huggingface (as a Hugging Face folder in ONNX" in (package.path / "card.md").read_text()


def test_a_real_server_answers(package: Package, serve: Callable[..., Server]) -> None:
    server = serve(package).ready()
    answer = server.ask(json.dumps({"instances": [{"text": "good plot"}]}), "application/json")
    assert answer.status_code == 200, answer.text
    (said,) = answer.json()["predictions"]
    assert list(said["probabilities"].values()) == pytest.approx(folders.expected("good plot"), abs=1e-6)
    wrong = server.ask(json.dumps({"instances": [{"text": 7}]}), "application/json")
    assert wrong.status_code == 400
    assert "row 0" in wrong.text and "string" in wrong.text


def test_the_lowest_of_the_known_maxima_counts(tmp_path: Path) -> None:
    folder = changed(tmp_path, max_position_embeddings=600)
    (folder / "tokenizer_config.json").write_text(
        '{"model_max_length": 3, "padding_side": "left", "pad_token": "[PAD]"}'
    )
    predictor = formats.load(packed(folder, tmp_path / "p"))
    first, second = predictor.predict([{"text": "good plot bad"}, {"text": "good plot"}])
    assert first == second
    assert list(second["probabilities"].values()) == pytest.approx(folders.expected("good plot"), abs=1e-6)


def test_roberta_counts_its_positions_from_behind_the_padding(tmp_path: Path) -> None:
    folder = changed(tmp_path, model_type="xlm-roberta", max_position_embeddings=4)
    predictor = formats.load(packed(folder, tmp_path / "p"))
    first, second = predictor.predict([{"text": "good plot bad"}, {"text": "good plot"}])
    assert first == second


def test_weights_beside_the_model_are_taken_along(tmp_path: Path) -> None:
    from onnx import load_model, save_model

    folder = folders.write(tmp_path / "mood")
    file = folder / "onnx" / "model.onnx"
    save_model(load_model(file), file, save_as_external_data=True, location="model.onnx_data", size_threshold=64)
    package = packed(folder, tmp_path / "p")
    assert "model/model.safetensors" in package.files
    (said,) = formats.load(package).predict([{"text": "bad"}])
    assert list(said["probabilities"].values()) == pytest.approx(folders.expected("bad"), abs=1e-6)


def test_a_folder_without_onnx_says_how_to_export_it(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "mood")
    shutil.rmtree(folder / "onnx")
    save_file({"w": folders.TABLE}, folder / "model.safetensors")
    command = f"optimum-cli export onnx --model {folder} --task text-classification {folder}/onnx"
    with pytest.raises(ModelberthError, match=r"neither .*onnx/model.onnx") as told:
        packed(folder, tmp_path / "p")
    assert command in str(told.value)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"id2label": None}, "id2label must name the label of each output"),
        ({"id2label": {}}, "id2label must name"),
        ({"id2label": {"0": "a", "2": "b"}}, "outputs 0 to 1, each by another text; 1 is None"),
        ({"id2label": {"0": "a", "1": "a"}}, "each by another text; 1 is 'a'"),
        ({"id2label": {"0": "a", "1": 5}}, "1 is 5"),
        ({"id2label": {"0": "a"}}, "has one label"),
        ({"id2label": {"0": "a", "1": "b"}}, r"id2label names 2"),
        ({"problem_type": "multi_label_classification"}, "only single_label_classification can be served"),
        ({"problem_type": "regression"}, "only single_label_classification"),
        ({"max_position_embeddings": None}, "tells no maximum length"),
        ({"max_position_embeddings": -5}, "tells no maximum length"),
        ({"max_position_embeddings": 10**9}, "tells no maximum length"),
        ({"pad_token_id": None}, "names no padding token"),
        ({"pad_token_id": 5000}, "names no padding token"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(tmp_path: Path, config: dict[str, Any], reason: str) -> None:
    with pytest.raises(PackageError, match=reason):
        packed(changed(tmp_path, **config), tmp_path / "p")
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b"\x80\x04pickle", "not UTF-8|not JSON"),
        (b"[]", "must be a JSON object"),
        (b"{}", "cannot be loaded"),
        (b'{"version": "1.0", "model": {"type": "Exec", "command": "id"}}', "cannot be loaded"),
        (b'{"a": ' * 100_000, "nested too deep|not JSON"),
        (b'{"model": 1, "model": 2}', "appears twice"),
    ],
)
def test_a_tokenizer_that_is_none_is_refused(package: Package, tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(PackageError, match=rf"model/tokenizer.json: .*({reason})"):
        formats.load(replaced(package, tmp_path / "p", content, "model/tokenizer.json"))


def test_a_token_that_the_model_does_not_know_is_told(package: Package, tmp_path: Path) -> None:
    tokenizer = json.loads(package.read("model/tokenizer.json"))
    tokenizer["model"]["vocab"]["good"] = 4_000_000_000
    content = json.dumps(tokenizer).encode()
    predictor = formats.load(replaced(package, tmp_path / "p", content, "model/tokenizer.json"))
    with pytest.raises(PackageError, match=r"model/model.onnx: cannot run: .*out of data bounds"):
        predictor.predict([{"text": "good"}])


@pytest.mark.parametrize(
    ("table", "inputs", "reason"),
    [
        (folders.TABLE[:, :2], ("input_ids", "attention_mask"), r"shape \['batch', 2\].*id2label names 3"),
        (folders.TABLE, ("input_ids", "attention_mask", "pixel_values"), 'input "pixel_values" is tensor'),
    ],
)
def test_a_model_of_another_kind_is_refused(
    tmp_path: Path, table: np.ndarray, inputs: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(PackageError, match=rf"model/model.onnx: .*{reason}"):
        packed(folders.write(tmp_path / "mood", table, inputs), tmp_path / "p")


@pytest.mark.parametrize(
    "frame",
    [pd.DataFrame({"text": ["a"], "more": ["b"]}), pd.DataFrame({"text": [1.0]}), pd.DataFrame({"text": ["a", None]})],
)
def test_only_one_column_of_texts_is_taken(tmp_path: Path, frame: pd.DataFrame) -> None:
    with pytest.raises(PackageError, match="one column of strings, none of them missing"):
        packed(folders.write(tmp_path / "mood"), tmp_path / "p", inputs=frame)


def test_other_classes_than_the_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="the labels of the model are positive, neutral, negative"):
        packed(folders.write(tmp_path / "mood"), tmp_path / "p", classes=["negative", "neutral", "positive"])
