"""An S3-compatible store on this machine: versitygw, which keeps buckets as folders.

It runs as a process of the cluster's folder. With a node, let it listen at `Network.host`, where pods reach it.
"""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.kubernetes import programs
from sandbox.kubernetes.processes import Processes, answers, stable_ports

_NAME = "object-store"
_START_SECONDS = 60


@dataclass(frozen=True)
class ObjectStore:
    """A store that runs, and the keys of its owner."""

    endpoint: str
    """Its address, such as http://127.0.0.1:21234."""

    region: str
    access_key: str
    secret_key: str


def start(folder: Path, address: str) -> ObjectStore:
    """Start the store of the cluster in `folder` at `address`, unless it runs, and wait until it is ready.

    Its keys are made at the first start; keys and content stay in the folder.

    Raises:
        ModelberthError: it cannot be built or does not start; with the end of its log.
    """
    home = folder.resolve() / _NAME
    for name in ("buckets", "versions", "users"):
        (home / name).mkdir(parents=True, exist_ok=True)
    port = stable_ports(folder / "ports.json", (_NAME,), address)[_NAME]
    store = _remembered(home / "keys.json", f"http://{address}:{port}")
    processes = Processes(folder.resolve())
    processes.start(
        _NAME,
        [
            programs.executable(programs.OBJECT_STORE),
            f"--port={address}:{port}",
            f"--region={store.region}",
            f"--iam-dir={home / 'users'}",
            "--health=/health",
            "--quiet",
            "posix",
            f"--versioning-dir={home / 'versions'}",
            home / "buckets",
        ],
        {"ROOT_ACCESS_KEY": store.access_key, "ROOT_SECRET_KEY": store.secret_key},
    )
    processes.wait(_NAME, lambda: answers(f"{store.endpoint}/health"), _START_SECONDS)
    return store


def stop(folder: Path) -> bool:
    """End the store of `folder`, which keeps its content; tells whether it ran."""
    return Processes(folder.resolve()).stop(_NAME)


def _remembered(file: Path, endpoint: str) -> ObjectStore:
    if file.is_file():
        return ObjectStore(**json.loads(file.read_text()) | {"endpoint": endpoint})
    store = ObjectStore(endpoint, "us-east-1", f"sandbox{secrets.token_hex(6)}", secrets.token_urlsafe(30))
    file.touch(mode=0o600)
    file.write_text(json.dumps(asdict(store)))
    return store
