"""Every model of the stack's configuration, `Pulumi.<stack>.yaml` beside this file."""

import asyncio
import os
from pathlib import Path

import pulumi
from modelberth import deploy_stack

# Paths in a configuration are relative to the project's folder, from wherever the engine starts the program.
os.chdir(Path(__file__).resolve().parents[1])


async def main() -> None:
    """Deploy, and let the requests begin before the SDK counts them: with none begun it waits for each output alone."""
    deploy_stack()
    await asyncio.sleep(0)


pulumi.run(main)
