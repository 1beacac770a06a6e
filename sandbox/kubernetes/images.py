"""The serving image, built here from this checkout without a registry and without a daemon.

Buildah runs the project's own Dockerfile on a base that debootstrap makes. Both come from Debian, both need root, and
both are quick when nothing changed: the base is made once, the image is known by the digest of what goes into it, and
its layers are kept. The machine's own settings for Debian and for Python packages are used and leave no trace in it.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path

from model_packaging.errors import ModelberthError
from model_packaging.image import context
from sandbox.go_tools import cache_folder
from sandbox.kubernetes.archive import Image

_SUITE = "bookworm"
"""The Debian release with the Python that the project's Dockerfile wants."""
_BASE_REVISION = 1
"""To be raised when `_MAKE_BASE` changes."""
_PUBLIC_MIRROR = "http://deb.debian.org/debian"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_PROGRAMS = {"debootstrap": "debootstrap", "buildah": "buildah", "unshare": "util-linux"}
# debootstrap mounts what it does not always unmount: done in mount and process namespaces of its own.
_MAKE_BASE = """set -e
debootstrap --variant=minbase --include=python3,python3-venv --keyring="$KEYRING" "$SUITE" "$ROOT" "$MIRROR"
cd "$ROOT"
ln -s /usr/bin/python3 usr/local/bin/python
rm -rf var/cache/apt/* var/lib/apt/lists/* var/log/* usr/share/doc usr/share/man usr/share/locale tmp/* etc/resolv.conf
rm -rf debootstrap
echo "deb $PUBLIC_MIRROR $SUITE main" > etc/apt/sources.list
: > etc/hostname
tar --create --one-file-system --numeric-owner --sort=name --file "$TAR" --exclude=./proc/* --exclude=./sys/* .
"""
_PIP_SETTINGS = ("index-url", "extra-index-url", "cert", "trusted-host", "proxy", "timeout", "default-timeout")


def reasons_against() -> list[str]:
    """Why the image cannot be built on this machine; empty where it can."""
    reasons: list[str] = []
    if platform.system() != "Linux" or os.geteuid() != 0:
        reasons.append("the image is built on Linux as root, because debootstrap needs that")
    missing = sorted({package for program, package in _PROGRAMS.items() if shutil.which(program) is None})
    if not Path(_KEYRING).exists():
        missing.append("debian-archive-keyring")
    if missing:
        reasons.append(f"the image needs these Debian packages, which are not installed: {', '.join(missing)}")
    return reasons


def serving_image() -> Image:
    """Return the image that serves models and runs jobs, built from this checkout unless nothing has changed.

    It is kept in the user's cache folder, and so are its layers.

    Raises:
        ModelberthError: it cannot be built; with every reason, or with the end of what the builder wrote.
    """
    home = cache_folder() / "serving-image"
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="modelberth-image-") as folder:
        sources = Path(folder) / "context"
        context.write(sources)
        digest = hashlib.sha256(f"{_SUITE} {_BASE_REVISION}".encode())
        for file in sorted(sources.iterdir()):
            digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
        name = f"localhost/modelberth:{digest.hexdigest()[:16]}"
        image = Image(name, home / f"{digest.hexdigest()[:16]}.tar")
        with _alone(home):
            if not image.archive.exists():
                _build(home, sources, image)
    return image


def _build(home: Path, sources: Path, image: Image) -> None:
    if reasons := reasons_against():
        raise ModelberthError(*reasons)
    print("Building the serving image; the first time takes minutes, later only what changed", flush=True)
    started = time.monotonic()
    base = f"localhost/modelberth-base:{_SUITE}-{_BASE_REVISION}"
    if subprocess.run([*_buildah(home), "inspect", "--type=image", base], capture_output=True).returncode != 0:
        _build_base(home, base)
    mounts: list[str] = []
    with tempfile.TemporaryDirectory(prefix="modelberth-pip-") as folder:
        for source, target in _pip_settings(Path(folder)):
            mounts.append(f"--volume={source}:{target}:ro")
        _run(
            home,
            [
                *_buildah(home),
                "build",
                "--isolation=chroot",
                "--layers",
                "--pull-never",
                "--format=docker",
                f"--build-arg=BASE_IMAGE={base}",
                *mounts,
                f"--tag={image.name}",
                str(sources),
            ],
        )
    unfinished = image.archive.with_suffix(".part")
    unfinished.unlink(missing_ok=True)
    _run(home, [*_buildah(home), "push", image.name, f"docker-archive:{unfinished}:{image.name}"])
    _forget_others(home, image)
    unfinished.rename(image.archive)
    print(f"  built in {time.monotonic() - started:.0f} s", flush=True)


def _forget_others(home: Path, image: Image) -> None:
    """Remove earlier images; the layers that the next one can start from stay."""
    for old in home.glob("*.tar"):
        old.unlink()
    listed = _run(home, [*_buildah(home), "images", "--format={{.Name}}:{{.Tag}}"])
    for name in listed.split():
        if name.startswith("localhost/modelberth:") and name != image.name:
            _run(home, [*_buildah(home), "rmi", name])


def _build_base(home: Path, name: str) -> None:
    """Make the base image: the smallest Debian with Python."""
    with tempfile.TemporaryDirectory(prefix="base-", dir=home) as folder:
        tar = Path(folder) / "base.tar"
        environment = {
            "ROOT": f"{folder}/root",
            "TAR": str(tar),
            "SUITE": _SUITE,
            "MIRROR": _mirror(),
            "PUBLIC_MIRROR": _PUBLIC_MIRROR,
            "KEYRING": _KEYRING,
        }
        _run(home, ["unshare", "--mount", "--pid", "--fork", "sh", "-c", _MAKE_BASE], environment)
        buildah = _buildah(home)
        container = _run(home, [*buildah, "from", "scratch"]).strip()
        try:
            _run(home, [*buildah, "add", container, str(tar), "/"])
            _run(home, [*buildah, "config", "--env=PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", container])
            _run(home, [*buildah, "commit", "--format=docker", container, name])
        finally:
            _run(home, [*buildah, "rm", container])


def _buildah(home: Path) -> list[str]:
    return ["buildah", f"--root={home / 'storage'}", f"--runroot={home / 'run'}", "--storage-driver=overlay"]


def _mirror() -> str:
    """Where this machine gets Debian from, if it has that release; else Debian's own address."""
    if shutil.which("apt-get") is None:
        return _PUBLIC_MIRROR
    form = "$(LABEL)|$(CODENAME)|$(REPO_URI)"
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        label, codename, address = line.split("|", 2)
        if (label, codename) == ("Debian", _SUITE):
            return address.rstrip("/")
    return _PUBLIC_MIRROR


def _pip_settings(folder: Path) -> list[tuple[Path, str]]:
    """Write where this machine gets Python packages from; what to mount where while the image is built."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    found = dict(re.findall(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", done.stdout, flags=re.MULTILINE))
    settings = {name: value for name, value in found.items() if name in _PIP_SETTINGS}
    mounts = [(folder / "pip.conf", "/etc/pip.conf")]
    if certificates := settings.get("cert"):
        settings["cert"] = "/run/certificates.pem"
        mounts.append((Path(certificates), settings["cert"]))
    lines = ["[global]", *(f"{name} = {value}" for name, value in settings.items())]
    (folder / "pip.conf").write_text("\n".join(lines) + "\n")
    return mounts


@contextlib.contextmanager
def _alone(home: Path) -> Generator[None]:
    """Let one process at a time build."""
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(home: Path, command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, env=os.environ | (environment or {}), capture_output=True, text=True, check=False, cwd=home
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise ModelberthError(f"{command[0]} failed (exit code {done.returncode}); the end of its output:\n{tail}")
    return done.stdout
