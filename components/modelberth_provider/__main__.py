"""`pulumi-resource-modelberth <engine address>`: serve the provider to one engine."""

import sys

from modelberth_provider import plugin
from modelberth_provider.provider import Provider
from modelberth_provider.resources import RESOURCES


def main() -> int:
    """Serve until the engine ends."""
    provider = Provider(RESOURCES, plugin.EngineLog.of_this_process())
    return plugin.serve(provider, "modelberth's provider plugin for Pulumi (gRPC).")


if __name__ == "__main__":
    sys.exit(main())
