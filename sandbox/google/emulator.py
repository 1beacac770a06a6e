"""Everything the emulator holds, in one object that every method reaches."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sandbox.clock import Clock
from sandbox.containers import Images, ProcessRuntime
from sandbox.google.faults import Faults
from sandbox.google.operations import Operations
from sandbox.google.policies import Policies
from sandbox.google.store import Projects, Store

ROOT = Path(__file__).parents[2]
PROJECT = "sandbox-project"
"""The project of the metadata server, and so the default one of programs in the emulator."""


class Emulator:
    """The state of the emulated cloud. It lives and dies with its process; the folder holds objects and containers."""

    def __init__(self, url: str, folder: Path, speed: float = 1.0) -> None:
        self.url = url
        self.instance_id = uuid.uuid4().hex
        self.clock = Clock(speed)
        self.stopping = threading.Event()
        self.failures: list[str] = []
        """What went wrong in the emulator itself: exceptions, and answers that are not as the schemas say."""
        self.outbox: deque[dict[str, Any]] = deque(maxlen=1000)
        """What was sent to people and hooks, the newest last, with the error where it did not arrive."""
        self.projects = Projects()
        self.projects.number(PROJECT)
        self.store = Store()
        self.policies = Policies()
        self.faults = Faults()
        self.operations = Operations(self)
        self.images = Images()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder
        self.runtime = ProcessRuntime(
            folder / "containers",
            {
                "STORAGE_EMULATOR_HOST": url,
                # gcsfs else asks Google itself, over gRPC, for the kind of each bucket.
                "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING": f"{url}/monitoring.googleapis.com/",
                "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
                # The metadata server, from which Google's libraries take a program's credentials and project.
                "GCE_METADATA_HOST": url.removeprefix("http://"),
                "GCE_METADATA_IP": url.removeprefix("http://"),
                "NO_PROXY": "127.0.0.1",
            },
        )
        self._background: list[Callable[[], None]] = []

    def in_background(self, run: Callable[[], None]) -> None:
        """Run something beside the requests, until the emulator stops; it looks at `stopping`."""
        self._background.append(run)

    def start(self) -> None:
        """Start what runs beside the requests."""
        for run in self._background:
            threading.Thread(target=run, daemon=True).start()

    def stop(self) -> None:
        """Stop what runs, and end every container."""
        self.stopping.set()
        self.runtime.stop_all()

    def register_image(self, reference: str, program: Sequence[str]) -> None:
        """Let an image reference run a program of this machine."""
        self.images.add_reference(reference, program)
