"""`modelberth:package:Replica`, asked as the engine asks it."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from modelberth_provider import replica
from sklearn.linear_model import LogisticRegression

from model_packaging import data_version, open_package, pack, validate
from model_packaging.publish import publish

from .direct import Direct, Failed, Start

TOKEN = "modelberth:package:Replica"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A package's address in a store."""
    generator = np.random.default_rng(7)
    frame = pd.DataFrame(generator.normal(size=(120, 2)), columns=["a", "b"])
    target = pd.Series(frame["a"] > 0, name="positive")
    model = LogisticRegression().fit(frame, target)
    validation = validate(model, (frame[:90], target[:90]), (frame[90:], target[90:]), folds=3, bootstrap=20)
    made = pack(
        model,
        name="signs",
        inputs=frame,
        output=tmp_path_factory.mktemp("packages") / "signs",
        data=data_version(frame.assign(positive=target), name="numbers"),
        validation=validation,
        description="Signs.",
    )
    return publish(made, f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def replicas(start: Start) -> Direct:
    return start(TOKEN)


def wanted(replicas: Direct, source: str, folder: Path) -> dict[str, Any]:
    return replicas.checked({"source": source, "destination": folder.as_uri()})


def test_a_copy_is_a_package_until_it_is_deleted(replicas: Direct, published: str, tmp_path: Path) -> None:
    inputs = wanted(replicas, published, tmp_path / "store")
    address, state = replicas.create(inputs)
    assert open_package(address).digest == state["digest"] == published.rpartition("@")[2]
    assert replicas.read(address, state, inputs)[2] == inputs
    replicas.delete(address, state)
    assert not [one for one in (tmp_path / "store").rglob("*") if one.is_file()]
    assert replicas.read(address, state, inputs) == ("", {}, {})
    replicas.delete(address, state)


def test_a_copy_that_was_broken_off_is_gone_on_with(
    replicas: Direct, start: Start, published: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, copied = wanted(replicas, published, tmp_path / "store"), []
    copy_file = replica._copy_file

    def counted(*arguments: Any) -> None:
        if len(copied) == 2:
            replicas.cancel()
        copied.append(arguments[1])
        copy_file(*arguments)

    monkeypatch.setattr(replica, "_copy_file", counted)
    with pytest.raises(Failed, match="what has arrived stays, and the next update copies the rest") as caught:
        replicas.create(inputs)
    assert not list((tmp_path / "store").rglob("manifest.json"))
    before, copied[:] = copied[:2], ["", "", ""]
    state = start(TOKEN).update(caught.value.identifier, caught.value.state, inputs)
    assert not set(before) & set(copied)
    assert open_package(state["address"])
    assert not state["kept"]


def test_what_arrives_damaged_is_refused(replicas: Direct, published: str, tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    root = published.partition("@")[0].removeprefix("memory:/")
    copy = f"/{uuid.uuid4().hex}"
    store.copy(root, copy, recursive=True)
    (file,) = [one for one in store.find(copy) if one.endswith("card.md")]
    store.pipe_file(file, store.cat_file(file) + b"!")
    source = f"memory:/{copy}@{published.rpartition('@')[2]}"
    with pytest.raises(Failed, match=r"card.md is not what the package says: its sha256 is \w+, not \w+"):
        replicas.create(wanted(replicas, source, tmp_path))
    assert not list(tmp_path.rglob("manifest.json"))


def test_what_was_there_before_is_left(replicas: Direct, published: str, tmp_path: Path) -> None:
    replicas.create(wanted(replicas, published, tmp_path))
    address, state = replicas.create(wanted(replicas, published, tmp_path))
    replicas.delete(address, state)
    assert open_package(address)


def test_all_that_is_wrong_is_told_at_once(replicas: Direct) -> None:
    _, failures = replicas.check({"source": "s3://bucket/packages/churn", "destination": "store"})
    assert sorted(failures) == ["destination", "source"]
    assert "has no digest: end it in @sha256:" in failures["source"]
