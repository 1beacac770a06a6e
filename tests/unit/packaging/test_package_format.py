"""docs/package-format.md and the published JSON schemas, against the code and a real package."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from model_packaging import archive, documents, open_package, package, schema
from model_packaging.package import Package
from tests.unit.packaging.conftest import altered

GUIDE = (Path(__file__).parents[3] / "docs" / "package-format.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def published() -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-m", "model_packaging", "show", "--schema"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_a_package_keeps_the_published_schemas(original: Package, published: dict[str, dict[str, Any]]) -> None:
    assert sorted(published) == sorted(["manifest.json", *original.documents])
    for file, found in published.items():
        jsonschema.Draft202012Validator.check_schema(found)
        content = json.loads((original.path / file).read_bytes())
        jsonschema.validate(content, found, jsonschema.Draft202012Validator)


BROKEN: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "later version": ("manifest.json", lambda d: d.update(schema_version=2)),
    "unknown key": ("manifest.json", lambda d: d.update(extra=1)),
    "name": ("manifest.json", lambda d: d.update(name="No Capitals")),
    "path": ("manifest.json", lambda d: d["files"].update({"../x": d["files"]["card.md"]})),
    "sha256": ("manifest.json", lambda d: d["files"]["card.md"].update(sha256="0")),
    "size": ("manifest.json", lambda d: d["files"]["card.md"].update(bytes=-1)),
    "column type": ("signature.json", lambda d: d["inputs"][0].update(type="float")),
    "no nullable": ("signature.json", lambda d: d["inputs"][0].pop("nullable")),
    "task": ("signature.json", lambda d: d["outputs"].update(task="ranking")),
    "no examples": ("examples.json", lambda d: d["inputs"].clear()),
    "tolerance": ("examples.json", lambda d: d.update(tolerance=-1)),
    "digest": ("data.json", lambda d: d.update(digest="md5:0")),
    "no rows": ("data.json", lambda d: d.pop("rows")),
    "no metrics": ("validation.json", lambda d: d.pop("metrics")),
    "no features": ("baseline.json", lambda d: d.pop("features")),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_the_schemas_refuse_the_reader_refuses(
    original: Package, published: dict[str, dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    """Another writer that checks with the schemas meets no surprise."""
    file, change = BROKEN[kind]
    content = json.loads((original.path / file).read_bytes())
    change(content)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, published[file], jsonschema.Draft202012Validator)
    if file == "manifest.json":
        with pytest.raises(package.PackageError):
            package.read_manifest(documents.dumps(content))
    else:
        folder = altered(original, tmp_path / "churn", file, change)
        with pytest.raises(package.PackageError, match=re.escape(file)):
            open_package(folder)


def test_the_guide_names_every_file_and_every_limit(original: Package) -> None:
    table = {
        name for row in re.findall(r"^\| (`.*?) \| M", GUIDE, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)
    }
    assert table == {"model/…"} | {file for file in [*original.files, "manifest.json"] if not file.startswith("model/")}
    must = set(re.findall(r"^\| `(.+?)` \| MUST", GUIDE, re.MULTILINE))
    assert must == {"manifest.json", "model/…", *schema.REQUIRED}
    limits = {
        "above 4 MiB": package.MAX_MANIFEST_BYTES == 4 * 2**20,
        "longer than 512 characters": schema.MAX_PATH == 512,
        "more than 10,000 files": schema.MAX_FILES == 10_000,
        "more than 20 GiB": archive.MAX_PACKAGE_BYTES == 20 * 2**30,
        "above 16 MiB": documents.MAX_DOCUMENT_BYTES == 16 * 2**20,
        "a part longer than 128": schema.check_path("a" * 128) is None and schema.check_path("a" * 129) is not None,
    }
    for words, holds in limits.items():
        assert words in GUIDE and holds, words


def test_the_guide_describes_the_baseline(original: Package) -> None:
    numeric, categorical = original.baseline["features"]["charge"], original.baseline["features"]["plan"]
    block = GUIDE.partition("## baseline.json")[2].partition("## Where")[0]
    for name in [*numeric, *categorical, *numeric["quantiles"], *original.baseline]:
        assert f'"{name}"' in block, name
    assert set(original.baseline["predictions"]) == {"label", "probability:false", "probability:true"}
    assert sum(categorical["frequencies"].values()) + categorical["other"] == pytest.approx(1)
    assert sum(numeric["counts"]) == numeric["count"]
    assert len(numeric["edges"]) == len(numeric["counts"]) + 1


def test_canonical_json_is_what_the_guide_says(original: Package) -> None:
    for file in [*original.documents, "manifest.json"]:
        content = (original.path / file).read_text(encoding="utf-8")
        again = json.dumps(json.loads(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
        assert content == again
