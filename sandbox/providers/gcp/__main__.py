"""Serve the provider to one engine: `python -m sandbox.providers.gcp <engine address>`."""

from __future__ import annotations

import sys

from sandbox.providers.gcp.provider import serve

if __name__ == "__main__":
    sys.exit(serve())
