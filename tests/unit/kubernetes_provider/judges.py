"""Judges from outside: kubeconform by the cluster's own schemas, and checkov's rules for Kubernetes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sandbox.go_tools import cache_folder
from sandbox.kubernetes import programs

from .model import Object, Server

_CHECKOV = "3.3.30"


def write(found: Iterable[Object], folder: Path) -> None:
    """Write each object into a file of its own."""
    folder.mkdir()
    for number, obj in enumerate(found):
        (folder / f"{number:03}-{obj['kind']}-{obj['metadata']['name']}.json").write_text(json.dumps(obj))


def schemas(server: Server, found: Iterable[Object], folder: Path) -> None:
    """Write the schema of each kind as the API server publishes it, with unknown fields refused."""
    documents = server.get("/openapi/v3")["paths"]
    for version, kind in sorted({(obj["apiVersion"], obj["kind"]) for obj in found}):
        group, _, number = version.rpartition("/")
        place = documents[f"apis/{version}" if group else f"api/{version}"]["serverRelativeURL"]
        components = _closed(server.get(place)["components"])
        wanted = {"group": group, "version": number, "kind": kind}
        (name,) = [
            name
            for name, schema in components["schemas"].items()
            if wanted in schema.get("x-kubernetes-group-version-kind", [])
        ]
        file = folder / (group or number) / number / f"{kind.lower()}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"$ref": f"#/components/schemas/{name}", "components": components}))


def _closed(value: Any) -> Any:
    if isinstance(value, list):
        return [_closed(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: _closed(one) for key, one in value.items()}
    is_object = isinstance(made.get("properties"), dict) and "type" in made
    if is_object and not made.get("x-kubernetes-preserve-unknown-fields") and "additionalProperties" not in made:
        made["additionalProperties"] = False
    return made


def kubeconform(files: Path, schemas: Path) -> tuple[dict[str, int], list[str]]:
    """How many objects it found valid, invalid, broken and skipped; what it says of those that are not valid."""
    location = f"{schemas}/{{{{.Group}}}}/{{{{.ResourceAPIVersion}}}}/{{{{.ResourceKind}}}}.json"
    command = [programs.executable(programs.KUBECONFORM), "-strict", "-summary", "-output", "json"]
    done = subprocess.run(
        [*command, "-schema-location", location, str(files)], capture_output=True, text=True, check=False
    )
    answer = json.loads(done.stdout)
    told = [f"{one['kind']} {one['name']}: {one['msg']}" for one in answer["resources"]]
    assert (done.returncode != 0) == bool(told), done.stderr
    return answer["summary"], told


def checkov(files: Path) -> set[tuple[str, str]]:
    """Each rule that is broken, with the kind and name of the object that breaks it."""
    command = [_checkov(), "--framework", "kubernetes", "--directory", files, "--output", "json", "--compact"]
    # With neither an account nor a download: the rules are those that it brings.
    options = ["--skip-download", "--soft-fail", "--quiet"]
    environment = {**os.environ, "LOG_LEVEL": "ERROR"}
    done = subprocess.run([*command, *options], capture_output=True, text=True, env=environment, check=True)
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 0
    assert report["summary"]["parsing_errors"] == 0
    broken: set[tuple[str, str]] = set()
    for one in report["results"]["failed_checks"]:
        kind, _, name = one["resource"].split(".", 2)
        broken.add((one["check_id"], f"{kind} {name}"))
    return broken


def _checkov() -> Path:
    """The program, in an environment of its own in the cache folder, which is made the first time (200 MB)."""
    folder = cache_folder() / "checkov" / _CHECKOV
    if not (folder / ".complete").exists():
        uv = Path(sysconfig.get_path("scripts")) / "uv"
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, folder], check=True)
        install = [uv, "pip", "install", "-q", "--python", folder / "bin" / "python", f"checkov=={_CHECKOV}"]
        subprocess.run(install, check=True)
        (folder / ".complete").touch()
    return folder / "bin" / "checkov"
