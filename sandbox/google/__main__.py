"""`python -m sandbox.google`: the Google emulator on loopback."""

import argparse
import os
import sys
from pathlib import Path

from sandbox.google.server import serve
from sandbox.listening import PortTaken


def main() -> int:
    """Parse the options and serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.google", description="Emulate Google Cloud on loopback.")
    default = int(os.environ.get("MODELBERTH_SANDBOX_GOOGLE_PORT", "5577"))
    parser.add_argument("--port", type=int, default=default)
    parser.add_argument("--speed", type=float, default=1.0, help="how fast alerts, operations and schedules run")
    parser.add_argument("--work", type=Path, default=Path(".sandbox/google"), help="objects and containers' folders")
    options = parser.parse_args()
    if not 0 <= options.port <= 65535 or options.speed <= 0:
        parser.error("--port is 0 to 65535, --speed is above 0")
    try:
        serve(options.port, options.speed, options.work.absolute())
    except PortTaken as error:
        print(f"error: {error}; stop it or set MODELBERTH_SANDBOX_GOOGLE_PORT to a free port", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
