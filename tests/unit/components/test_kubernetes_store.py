"""A store that is down or refuses the Secret's credentials: told to `pulumi up` and to the pod's init step."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from modelberth.platforms.kubernetes import store as platform

from model_packaging.errors import ModelberthError
from model_packaging.package import Package
from model_packaging.publish import location, publish
from sandbox.kubernetes import object_store, programs
from sandbox.kubernetes.control_plane import LOOPBACK
from sandbox.kubernetes.object_store import ObjectStore
from tests.node import WANTED

pytestmark = pytest.mark.skipif(
    not WANTED and not programs.is_built(programs.OBJECT_STORE),
    reason="the object store is built in a minute by what needs it: `make up STACK=local-kubernetes`, `make test-node`",
)

BUCKET = "models"
KEPT = platform.Wanted(30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("store")
    object_store.start(folder, LOOPBACK)
    yield folder
    object_store.stop(folder)


@pytest.fixture
def store(folder: Path) -> ObjectStore:
    """The store, which runs."""
    return object_store.start(folder, LOOPBACK)


def access(store: ObjectStore) -> platform.Access:
    return platform.Access(store.endpoint, store.region, store.access_key, store.secret_key)


def variables(store: ObjectStore) -> dict[str, str]:
    """What a pod takes from the Secret."""
    return {
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key,
        "AWS_ENDPOINT_URL_S3": store.endpoint,
        "AWS_REGION": store.region,
    }


def fetch(address: str, folder: Path, secret: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What the init step of a replica runs."""
    command = [Path(sys.executable).parent / "modelberth", "pull", address, str(folder)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")} | secret
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def published(store: ObjectStore, original: Package) -> str:
    platform.ensure(BUCKET, KEPT, access(store))
    publish(original, f"s3://{BUCKET}", storage_options=access(store).storage_options())
    return f"{location(f's3://{BUCKET}', original.name, original.digest)}@{original.digest}"


@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_keys_end_the_init_step_with_one_line(
    published: str, store: ObjectStore, tmp_path: Path, wrong: str
) -> None:
    done = fetch(published, tmp_path / "package", variables(store) | {wrong: "wrong"})
    assert done.returncode == 1
    assert done.stderr.startswith(f"modelberth: cannot read {published.partition('@')[0]}/manifest.json: access denied")
    assert len(done.stderr.splitlines()) == 1
    assert store.secret_key not in done.stderr
    assert not (tmp_path / "package").exists()


def test_a_bucket_that_is_not_there_ends_the_init_step_with_one_line(
    published: str, store: ObjectStore, tmp_path: Path
) -> None:
    done = fetch(published.replace(BUCKET, "another", 1), tmp_path / "package", variables(store))
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "does not exist (The specified bucket does not exist.)" in done.stderr


def test_a_store_that_is_down_ends_the_init_step_and_the_next_attempt_heals(
    published: str, store: ObjectStore, original: Package, folder: Path, tmp_path: Path
) -> None:
    assert object_store.stop(folder)
    down = fetch(published, tmp_path / "package", variables(store))
    assert (down.returncode, len(down.stderr.splitlines())) == (1, 1)
    assert f'Could not connect to the endpoint URL: "{store.endpoint}' in down.stderr
    assert not (tmp_path / "package").exists()
    assert object_store.start(folder, LOOPBACK) == store
    again = fetch(published, tmp_path / "package", variables(store))
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "package" / "manifest.json").read_bytes() == (original.path / "manifest.json").read_bytes()


@pytest.mark.parametrize(
    "change",
    [{"access_key_id": "nobody"}, {"secret_access_key": "wrong"}],
    ids=["user", "key"],
)
def test_wrong_keys_are_told_where_the_bucket_is_made(store: ObjectStore, change: dict[str, str]) -> None:
    with pytest.raises(ModelberthError) as caught:
        platform.ensure(BUCKET, KEPT, dataclasses.replace(access(store), **change))
    told = str(caught.value)
    assert told.startswith(f"the store {store.endpoint} refuses HeadBucket on the bucket {BUCKET}: 403")
    assert told.endswith("look at the Secret that bucket.kubernetes.secret names, and at what its user may do")
    assert "\n" not in told
