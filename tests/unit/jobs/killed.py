"""`modelberth …` in a process that kills itself, by SIGKILL, just before one of its changes to files.

KILL_BELOW says in which folder changes count, KILL_AT before which of them it ends: a number, or the end of the path.
Without one it lists them all in KILL_LIST.
"""

import os
import signal
import sys
from typing import Any

BELOW, AT = os.environ["KILL_BELOW"], os.environ["KILL_AT"]
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.chmod", "os.utime", "shutil.move"}
seen: list[str] = []


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        if not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
    elif event not in CHANGES:
        return
    count = 1 if event == "open" else 2
    paths = [str(one) for one in arguments[:count] if isinstance(one, str | os.PathLike)]
    if any(path.startswith(BELOW) for path in paths):
        seen.append(f"{event} {paths[-1]}")
        if len(seen) == int(AT) if AT.isdigit() else AT and paths[-1].endswith(AT):
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    from model_packaging.cli import main

    sys.addaudithook(hook)
    try:
        main()
    finally:
        if not AT:
            with open(os.environ["KILL_LIST"], "w") as file:
                file.write("\n".join(seen))
