"""Serve the provider to one engine: `python -m sandbox.providers.aws <engine address>`."""

from __future__ import annotations

import sys

from sandbox.providers.aws.provider import serve

if __name__ == "__main__":
    sys.exit(serve())
