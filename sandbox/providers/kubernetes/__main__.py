"""Serve the provider to one engine: `python -m sandbox.providers.kubernetes <engine address>`."""

from __future__ import annotations

import sys

from modelberth_provider import plugin

from sandbox.providers.kubernetes.provider import KubernetesProvider

if __name__ == "__main__":
    sys.exit(
        plugin.serve(
            KubernetesProvider(plugin.EngineLog.of_this_process()), "The sandbox's Kubernetes provider plugin (gRPC)."
        )
    )
