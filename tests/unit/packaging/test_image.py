"""The image: a context that is whole and repeats, and the builders' command lines, by a builder that records them."""

import base64
import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest

from model_packaging.errors import ModelberthError
from model_packaging.image import context, registry, requirements, wheel

ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
DIGEST = "sha256:" + "d" * 64
FAKE = r"""#!/bin/sh
# Records its arguments and its standard input, and answers as a builder does.
[ "$FAKE_SILENT" ] && case "$1" in version|info) echo "Cannot connect to the daemon" >&2; exit 1;; esac
{ printf '%s' "${0##*/}"; printf ' %s' "$@"; printf '\n'; } >> "$FAKE_LOG"
printf '%s\n' "$BUILDX_NO_DEFAULT_ATTESTATIONS" > "$FAKE_LOG.attestations"
[ "$1" = "$FAKE_FAILS" ] && { echo "tag already exists" >&2; exit 3; }
command=$1
for last; do
  case $previous in --iidfile) echo "sha256:1111" > "$last";; --digestfile) printf '%s' "$FAKE_DIGEST" > "$last";; esac
  previous=$last
done
case "$command" in
  build) ls "$last" > "$FAKE_LOG.context"; echo "building";;
  login) cat > "$FAKE_LOG.password";;
  image) printf '["other/x@sha256:00","%s@%s"]\n' "${last%:*}" "$FAKE_DIGEST";;
esac
"""


@dataclass
class Fake:
    folder: Path
    environment: dict[str, str]

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def calls(self) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.split()[1] not in ("version", "info")]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "model_packaging", "image", "build", *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def fake(tmp_path: Path) -> Callable[..., Fake]:
    def make(*names: str) -> Fake:
        path = tmp_path / "bin"
        path.mkdir()
        for name in names:
            (path / name).write_text(FAKE)
            (path / name).chmod(0o755)
        for tool in ("cat", "ls"):
            (path / tool).symlink_to(f"/bin/{tool}")
        settings = {"PATH": str(path), "FAKE_LOG": str(tmp_path / "log"), "FAKE_DIGEST": DIGEST}
        credentials = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "NO_PROXY": "127.0.0.1"}
        return Fake(tmp_path, {**os.environ, **settings, **credentials})

    return make


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("context")
    context.write(folder)
    return folder


def test_a_context_is_whole(built: Path) -> None:
    (found,) = built.glob("*.whl")
    dockerfile = (built / "Dockerfile").read_text()
    copied = [line.split()[1] for line in dockerfile.splitlines() if line.startswith("COPY ") and "--from" not in line]
    assert sorted([*copied, "Dockerfile"]) == sorted(path.name for path in built.iterdir())
    assert dockerfile.count("FROM ${BASE_IMAGE}") == 2
    for line in ('ENTRYPOINT ["modelberth"]', "EXPOSE 8080", "USER ${RUN_AS}", "ARG RUN_AS=modelberth"):
        assert f"\n{line}\n" in dockerfile
    assert "MODELBERTH_HOST=0.0.0.0" in dockerfile
    assert found.name in dockerfile


def test_a_context_repeats(built: Path, tmp_path: Path) -> None:
    """Also from another process, whose hashes are salted differently."""
    command = [sys.executable, "-m", "model_packaging", "image", "context", str(tmp_path / "again")]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    for path in built.iterdir():
        again = tmp_path / "again" / path.name
        assert again.read_bytes() == path.read_bytes()
        assert again.stat().st_mode == path.stat().st_mode


def test_a_context_replaces_an_earlier_one_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "modelberth-0.0.9-py3-none-any.whl").write_bytes(b"old")
    context.write(tmp_path)
    assert len(list(tmp_path.glob("*.whl"))) == 1
    (tmp_path / "thesis.txt").write_text("keep")
    with pytest.raises(ModelberthError, match=r"it holds thesis.txt, which is no part of a build context"):
        context.write(tmp_path)


def test_requirements_are_pinned_hashed_and_only_what_serving_and_jobs_need(built: Path) -> None:
    text = (built / "requirements.txt").read_text()
    names = {line.split("==")[0] for line in text.splitlines() if not line.startswith(" ")}
    assert {"scikit-learn", "onnxruntime", "skops", "starlette", "uvicorn", "s3fs", "boto3", "matplotlib"} <= names
    assert {"scipy", "botocore", "pydantic-core", "h11"} <= names, "what those need"
    assert not names & {"pulumi", "pulumi-aws", "moto", "pytest", "ruff", "uv", "skl2onnx", "modelberth"}
    blocks = text.replace(" \\\n", " ").splitlines()
    assert all("==" in block and "--hash=sha256:" in block for block in blocks)


LIBRARIES = {
    "catboost": "catboost",
    "gcp": "gcsfs",
    "grpc": "grpcio",
    "huggingface": "tokenizers",
    "lightgbm": "lightgbm",
    "sign": "model-signing",
    "xgboost": "xgboost-cpu",
}


def named(folder: Path) -> set[str]:
    lines = (folder / "requirements.txt").read_text().splitlines()
    return {line.split("==")[0] for line in lines if not line.startswith(" ")}


def test_further_parts_are_there_when_they_are_asked_for(built: Path, tmp_path: Path) -> None:
    assert {*LIBRARIES} == {*requirements.MORE}
    assert {*requirements.MORE} <= {*(requirements.metadata.metadata("modelberth").get_all("Provides-Extra") or [])}
    assert not named(built) & {*LIBRARIES.values()}
    for part, library in LIBRARIES.items():
        context.write(tmp_path, [part])
        assert named(tmp_path) & {*LIBRARIES.values()} - {"grpcio"} == {library} - {"grpcio"}
        assert library in named(tmp_path)
        assert named(tmp_path) > named(built)
    context.write(tmp_path, requirements.MORE)
    assert named(tmp_path) >= {*LIBRARIES.values()}


def test_what_a_package_needs_is_there(tmp_path: Path) -> None:
    import lightgbm
    import numpy as np
    import pandas as pd
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from model_packaging import pack

    frame = pd.DataFrame({"a": np.arange(40.0)})
    model = lightgbm.LGBMRegressor(n_estimators=2, n_jobs=1, verbose=-1, min_child_samples=5)
    settings = {"inputs": frame, "name": "m", "card": False}
    pack(model.fit(frame, frame["a"]), output=tmp_path / "native", **settings)
    pipeline = make_pipeline(StandardScaler(), model).set_output(transform="pandas").fit(frame, frame["a"])
    assert pack(pipeline, output=tmp_path / "within", **settings).format == "sklearn-skops"
    for name in ("native", "within"):
        command = [sys.executable, "-m", "model_packaging", "image", "context", str(tmp_path / "image")]
        subprocess.run([*command, "--for", str(tmp_path / name), "--with", "grpc"], check=True)
        assert {"lightgbm", "grpcio"} <= named(tmp_path / "image")
        assert not named(tmp_path / "image") & {"catboost", "xgboost-cpu", "tokenizers"}


def test_an_unknown_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelberthError, match=r'has no part "xgbost": choose catboost.* \(did you mean xgboost\?\)'):
        context.write(tmp_path / "image", ["xgbost"])
    assert not (tmp_path / "image").exists()


def test_the_lock_gives_what_is_installed_here(tmp_path: Path) -> None:
    """Both ways to the pins agree, as the test environment is installed from the lock file."""
    from packaging.requirements import Requirement

    context.write(tmp_path, requirements.MORE)
    lines = (tmp_path / "requirements.txt").read_text().splitlines()
    lines = [line.split(" \\")[0] for line in lines if line[0] != " "]
    found = [Requirement(line) for line in lines]
    here = {f"{item.name}{item.specifier}" for item in found if item.marker is None or item.marker.evaluate()}
    installed = requirements.from_installation(requirements.extras(requirements.MORE))
    assert not installed.hashed
    assert set(installed.text.splitlines()) <= here


def test_a_direct_requirement_that_is_not_locked_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==2.0 \\\n    --hash=sha256:00\n    # via modelberth (pyproject.toml)\n")
    with pytest.raises(ModelberthError, match=r"requirements.lock: boto3, .*skops.* is not locked"):
        requirements.from_lock(lock)


def test_without_the_extras_the_install_command_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    real = requirements.metadata.version

    def version(name: str) -> str:
        if name == "skops":
            raise requirements.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(requirements.metadata, "version", version)
    with pytest.raises(ModelberthError, match=r'skops is not: pip install "modelberth\[serve,jobs\]"'):
        requirements.from_installation()


def test_the_wheel_is_the_project(built: Path) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        metadata = Parser().parsestr(archive.read("modelberth-0.1.0.dist-info/METADATA").decode())
        record = archive.read("modelberth-0.1.0.dist-info/RECORD").decode().splitlines()
    assert {"model_packaging/cli.py", "model_packaging/card/card.html.j2", "model_packaging/image/Dockerfile.j2"} <= {
        *names
    }
    assert "modelberth/model_deployment.py" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests", "sandbox"))]
    assert metadata["Name"] == "modelberth"
    assert {line.split(",")[0] for line in record} == set(names)


def test_pip_installs_the_wheel_and_its_command_answers(built: Path, tmp_path: Path) -> None:
    """pip checks every hash of RECORD; the libraries are borrowed from this environment."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    (path,) = built.glob("*.whl")
    python = tmp_path / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index", "--no-deps", str(path)]
    subprocess.run(pip, check=True, capture_output=True)
    libraries = os.pathsep.join(entry for entry in sys.path if entry.endswith("site-packages"))
    code = "import model_packaging; print(model_packaging.__file__)"
    environment = {**os.environ, "PYTHONPATH": libraries}
    where = subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert where.stdout.startswith(str(tmp_path / "venv")), where.stderr
    command = [tmp_path / "venv" / "bin" / "modelberth", "--version"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert answer.stdout == "modelberth 0.1.0\n", answer.stderr


def test_docker_builds_in_dockers_format_without_attestations(fake: Callable[..., Fake]) -> None:
    docker = fake("docker", "podman")
    done = docker.run("--tag", "2.0")
    assert (done.returncode, done.stdout) == (0, "modelberth:2.0 sha256:1111\n"), done.stderr
    (call,) = docker.calls()
    assert call.startswith(
        "docker build --platform linux/amd64 --build-arg RUN_AS=modelberth --output type=docker --tag modelberth:2.0"
    )
    assert (docker.folder / "log.attestations").read_text() == "1\n"
    assert "requirements.txt" in (docker.folder / "log.context").read_text()
    assert "building" in done.stderr


@pytest.mark.parametrize("name", ["podman", "buildah"])
def test_podman_and_buildah_build_in_dockers_format(fake: Callable[..., Fake], name: str) -> None:
    builder = fake(name)
    done = builder.run("--platform", "linux/arm64", "--run-as", "root")
    assert done.stdout == "modelberth:0.1.0 sha256:1111\n", done.stderr
    (call,) = builder.calls()
    assert call.startswith(f"{name} build --platform linux/arm64 --build-arg RUN_AS=root --format docker --tag")


@pytest.mark.parametrize("name", ["docker", "podman", "buildah"])
def test_push_logs_in_to_ecr_and_prints_the_digest(fake: Callable[..., Fake], aws: str, name: str) -> None:
    builder = fake(name)
    repository = f"{ECR}/team/modelberth"
    done = builder.run("--push", "--repository", repository, AWS_ENDPOINT_URL=aws)
    assert (done.returncode, done.stdout) == (0, f"{repository}@{DIGEST}\n"), done.stderr
    build, login, push, *_ = builder.calls()
    assert f"--tag {repository}:0.1.0" in build
    assert login == f"{name} login --username AWS --password-stdin {ECR}"
    assert push.startswith(f"{name} push ") and push.endswith(f" {repository}:0.1.0")
    password = (builder.folder / "log.password").read_text()
    assert password
    everything = builder.log.read_text() + done.stdout + done.stderr
    assert password not in everything
    assert base64.b64encode(f"AWS:{password}".encode()).decode() not in everything


def test_another_registry_is_pushed_to_without_a_login(fake: Callable[..., Fake]) -> None:
    builder = fake("podman")
    done = builder.run("--push", "--repository", "registry.example.org:5000/modelberth")
    assert done.stdout == f"registry.example.org:5000/modelberth@{DIGEST}\n", done.stderr
    assert [call.split()[1] for call in builder.calls()] == ["build", "push"]


def test_a_refused_push_says_what_may_be_wrong(fake: Callable[..., Fake]) -> None:
    done = fake("docker").run("--push", "--repository", "registry.example.org/m", FAKE_FAILS="push")
    assert (done.returncode, done.stdout) == (1, "")
    assert "tag already exists" in done.stderr
    assert "docker could not push the image: exit code 3, see above; where the tag is taken" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failed_build_is_not_pushed(fake: Callable[..., Fake]) -> None:
    builder = fake("docker")
    done = builder.run("--push", "--repository", "registry.example.org/m", FAKE_FAILS="build")
    assert done.returncode == 1
    assert "docker could not build the image: exit code 3" in done.stderr
    assert len(builder.calls()) == 1


def test_without_a_builder_the_ways_to_one_are_named(fake: Callable[..., Fake]) -> None:
    done = fake().run()
    assert done.returncode == 1
    assert done.stderr.startswith("modelberth: no container builder was found on the path: install ")
    for word in ("Docker", "Podman", "Buildah", "modelberth image context DIRECTORY"):
        assert word in done.stderr


def test_a_daemon_that_does_not_answer(fake: Callable[..., Fake]) -> None:
    done = fake("docker", "buildah").run(FAKE_SILENT="1")
    assert done.returncode == 1
    assert "modelberth: docker does not answer: Cannot connect to the daemon" in done.stderr
    assert "or choose --builder buildah" in done.stderr


def test_a_login_without_credentials_names_them(fake: Callable[..., Fake], tmp_path: Path) -> None:
    builder = fake("docker")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        builder.environment.pop(variable, None)
    nowhere = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/x", "AWS_SHARED_CREDENTIALS_FILE": "/x"}
    done = builder.run("--push", "--repository", f"{ECR}/modelberth", **nowhere)
    assert done.returncode == 1
    assert f"cannot log in to {ECR}: Unable to locate credentials" in done.stderr
    assert "push" not in [call.split()[1] for call in builder.calls()]


def test_push_needs_a_repository(fake: Callable[..., Fake]) -> None:
    done = fake("docker").run("--push")
    assert done.returncode == 2
    assert "--push needs --repository" in done.stderr


@pytest.mark.parametrize(
    ("repository", "tag", "problem"),
    [
        ("modelberth:1", "1", "--repository is"),
        ("Registry.example.org/Model", "1", "--repository is"),
        (f"{ECR}/m@{DIGEST}", "1", "--repository is"),
        ("m", "-1", "--tag is"),
        ("m", "a" * 129, "--tag is"),
    ],
)
def test_impossible_names_are_refused_before_anything_is_built(repository: str, tag: str, problem: str) -> None:
    with pytest.raises(ModelberthError, match=problem):
        registry.reference(repository, tag)


def test_the_stack_knows_the_repository_of_what_was_pushed() -> None:
    from modelberth.platforms.sagemaker.policies import image_repository

    assert image_repository(f"{ECR}/team/modelberth@{DIGEST}") == (
        "arn:aws:ecr:eu-central-1:123456789012:repository/team/modelberth"
    )


def test_a_wheel_of_an_incomplete_installation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel, "find_spec", lambda name: None)
    with pytest.raises(ModelberthError, match="cannot find the code of model_packaging"):
        wheel.build()


def test_the_image_needs_no_daemon_to_be_described(built: Path) -> None:
    """The label a registry shows is this project's version."""
    assert json.dumps(requirements.metadata.version("modelberth")) in (built / "Dockerfile").read_text()
