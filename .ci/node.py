"""Runs the tests that need a Kubernetes node where this machine allows one; says which ran, or why none did.

The programs of a node take most of an hour to build once. Each run builds for as long as its time allows and keeps what
is finished in the user's cache folder, so that on a machine that keeps its cache a later run has them all.
"""

import os
import signal
import subprocess
import sys
import time

from sandbox.kubernetes import images, node, programs

STARTED = float(sys.argv[1])
"""When the whole run began, in seconds since the epoch."""
BUILD_UNTIL_SECONDS, BEGIN_UNTIL_SECONDS = 45 * 60, 60 * 60
"""Of 90 minutes in all; the tests below take about 15."""
TESTS = [
    *(f"tests/unit/kubernetes_cluster/test_{name}.py" for name in ("node", "object_store", "monitoring", "services")),
    "tests/conformance/test_first.py",
    "tests/conformance/test_gaps.py",
]
BUILD = {one.name: f"programs.folder(programs.OF_A_NODE[{index}])" for index, one in enumerate(programs.OF_A_NODE)}
BUILD["the serving image"] = "images.serving_image()"


def passed() -> float:
    """Seconds since the whole run began."""
    return time.time() - STARTED


def build(call: str) -> bool:
    """Make one of them in a process of its own, which ends when the time for building does."""
    left = BUILD_UNTIL_SECONDS - passed()
    if left <= 0:
        return False
    code = f"from sandbox.kubernetes import images, programs; {call}"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        return process.wait(timeout=left) == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False


def main() -> int:
    """Build what is missing, and run the tests."""
    if reasons := [*node.reasons_against(), *images.reasons_against()]:
        print("The tests that need a node were not run:", *reasons, sep="\n  ")
        return 0
    if missing := [name for name, call in BUILD.items() if not build(call)]:
        print("The tests that need a node were not run; not built in this run's time:", *missing, sep="\n  ")
        return 0
    if passed() > BEGIN_UNTIL_SECONDS:
        print(f"The tests that need a node were not run: {passed() / 60:.0f} minutes had passed.")
        return 0
    print("The tests that need a node are run:", *TESTS, sep="\n  ", flush=True)
    command = [sys.executable, "-m", "pytest", *TESTS, "-k", "kubernetes"]
    return subprocess.run(command, env=os.environ | {"MODELBERTH_NODE": "1"}).returncode


if __name__ == "__main__":
    sys.exit(main())
