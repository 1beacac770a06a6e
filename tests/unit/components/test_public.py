"""What the package offers, and what importing it costs."""

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import modelberth
import pytest
from modelberth import SpecificationError, gaps, registry

ROOT = Path(__file__).resolve().parents[3]
SDKS = {"pulumi_aws", "boto3", "botocore", "s3fs", "pulumi_gcp", "google.cloud", "pulumi_kubernetes", "kubernetes"}


def test_all_is_what_is_there() -> None:
    names = {
        name
        for name, value in vars(modelberth).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(modelberth.__all__) == names
    assert list(modelberth.__all__) == sorted(modelberth.__all__)


def test_everything_public_is_documented() -> None:
    assert all(inspect.getdoc(getattr(modelberth, name)) for name in modelberth.__all__)


def test_importing_it_imports_no_sdk_of_a_cloud() -> None:
    # A distribution may put its namespace into every process; what counts is what the import itself brings.
    code = "before = set(sys.modules); import modelberth; print(*set(sys.modules) - before)"
    path = [str(ROOT), str(ROOT / "components")]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path}; {code}"], capture_output=True, text=True, check=True
    )
    assert "modelberth.spec" in done.stdout.split()
    assert SDKS & set(done.stdout.split()) == set()


def test_platforms_are_in_order_and_have_every_capability_a_folder_and_an_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert list(registry.PLATFORMS) == sorted(registry.PLATFORMS)
    folders = {folder.name for folder in (ROOT / "components/modelberth/platforms").iterdir() if folder.is_dir()}
    assert folders - {"__pycache__"} == set(registry.PLATFORMS)
    for name, platform in registry.PLATFORMS.items():
        assert platform.extra in extras
        for capability in registry.CAPABILITIES:
            module = registry.load(name, capability)
            assert module.__name__ == f"{platform.package}.{capability}"
            assert list(inspect.signature(module.check).parameters) == ["args", "where"]
            assert list(inspect.signature(module.provision).parameters) == ["component", "name", "args"]
        shared = registry.load(name, "shared")
        for function, parameters in (
            (shared.check, ["args", "where"]),
            (shared.defaults, ["args"]),
            (shared.provision, ["component", "name", "args"]),
        ):
            assert list(inspect.signature(function).parameters) == parameters
        images = registry.load(name, "images")
        assert list(inspect.signature(images.is_own).parameters) == ["image"]
        assert list(inspect.signature(images.provision).parameters) == ["name", "spec"]
        assert gaps.gaps_of(name).keys() <= gaps.FEATURES.keys()


def test_an_unknown_platform_is_told_with_the_nearest() -> None:
    with pytest.raises(
        SpecificationError,
        match=r"^unknown platform 'sagemakr': choose kubernetes, sagemaker or vertex \(did you mean sag",
    ):
        registry.load("sagemakr", "endpoint")


def test_what_is_not_installed_is_told_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.PLATFORMS, "moon", registry.Platform("lunar_sdk", "moon"))
    with pytest.raises(SpecificationError) as caught:
        registry.load("moon", "endpoint")
    assert str(caught.value) == "platform moon needs lunar_sdk, which is not installed: pip install 'modelberth[moon]'"


def test_a_module_that_a_platform_lacks_is_no_missing_installation() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"modelberth\.platforms\.sagemaker\.teleport"):
        registry.load("sagemaker", "teleport")
