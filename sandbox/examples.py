"""Training the project's example models before a stack that serves them is deployed."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

from model_packaging.errors import ModelberthError
from sandbox.settings import HOME, ROOT
from sandbox.stack_file import StackFile

PACKAGING = ROOT / "model_packaging"


def ensure_packages(stack: StackFile) -> None:
    """Train and pack each example that the stack serves, unless that was done with the same sources already.

    Raises:
        ModelberthError: the example's script failed; the text has the end of its output.
    """
    for example in _wanted(stack):
        stamp = HOME / f"example-{example.name}.sha256"
        target = ROOT / "packages" / example.name
        sources = digest_of(example, PACKAGING)
        if (target / "manifest.json").is_file() and stamp.is_file() and stamp.read_text() == sources:
            continue
        print(f"Training the example model {example.name}, which takes some seconds …", flush=True)
        started = time.monotonic()
        _run(example / "data.py")
        _run(example / "train.py", "--data", str(example / "data"), "--output", str(target))
        HOME.mkdir(exist_ok=True)
        stamp.write_text(sources)
        print(f"  packed into packages/{example.name} in {time.monotonic() - started:.0f} s", flush=True)


def _wanted(stack: StackFile) -> list[Path]:
    packages = {str(model.get("package") or "") for model in stack.models.values()}
    examples = [ROOT / "examples" / Path(package).name for package in sorted(packages) if _is_example(package)]
    return [example for example in examples if (example / "train.py").is_file()]


def _is_example(package: str) -> bool:
    return Path(package).parent == Path("packages")


def digest_of(*folders: Path) -> str:
    """Return a digest of the Python sources below some folders, by which what they make is kept."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _run(script: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, str(script), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-10:])
        raise ModelberthError(f"{script.relative_to(ROOT)} failed (exit code {done.returncode}):\n{tail}")
