"""`modelberth …` in a process that kills itself, by SIGKILL, before or after its KILL_AT-th write to S3."""

import os
import signal
from typing import Any

from s3fs.core import S3FileSystem

AT, AFTER = int(os.environ["KILL_AT"]), os.environ["KILL_WHEN"] == "after"
call = S3FileSystem._call_s3
writes = 0


async def counted(self: Any, method: str, *arguments: Any, **options: Any) -> Any:
    global writes
    writes += method == "put_object"
    if method != "put_object" or writes != AT:
        return await call(self, method, *arguments, **options)
    if AFTER:
        await call(self, method, *arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    from model_packaging.cli import main

    S3FileSystem._call_s3 = counted
    main()
