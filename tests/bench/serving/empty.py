"""An ASGI application that answers nothing, by the same server and event loop as the model's."""

import asyncio
import sys
from typing import Any

import uvicorn
import uvloop


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Read the body, answer an empty one."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    settings = uvicorn.Config(
        application,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(settings).serve())
