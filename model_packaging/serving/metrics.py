"""What Prometheus reads at /metrics: requests, latency, queue, rows, and which package is served.

Names follow https://prometheus.io/docs/practices/naming/: base units, and `_total` for what only grows.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16384, 65536)


class Metrics:
    """One server's measurements, in a registry of their own."""

    def __init__(self, busy: Callable[[], float]) -> None:
        """`busy` tells the requests that run or wait, when Prometheus asks."""
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter("modelberth_requests", "Answered requests.", ("contract", "status"), registry=registry)
        self._latency = Histogram(
            "modelberth_request_duration_seconds",
            "From a request's head to the end of its answer.",
            ("contract",),
            buckets=_SECONDS,
            registry=registry,
        )
        Gauge("modelberth_requests_in_progress", "Requests that run or wait.", registry=registry).set_function(busy)
        self._rows = Counter("modelberth_rows", "Predicted rows.", registry=registry)
        self._batch = Histogram(
            "modelberth_batch_rows",
            "Rows of one prediction, those of joined requests together.",
            buckets=_ROWS,
            registry=registry,
        )
        self._model = Info("modelberth_model", "The package that is served.", registry=registry)
        self.captured = Counter("modelberth_captured_requests", "Requests written by capture.", registry=registry)
        self._dropped = Counter(
            "modelberth_capture_dropped_requests",
            "Sampled requests that capture could not keep.",
            ("reason",),
            registry=registry,
        )
        # `labels` costs more than the counting; a server has few contracts and statuses.
        self._children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def request(self, contract: str, status: int, seconds: float) -> None:
        """Counts an answer."""
        children = self._children.get((contract, status))
        if children is None:
            children = self._requests.labels(contract, str(status)), self._latency.labels(contract)
            self._children[contract, status] = children
        children[0].inc()
        children[1].observe(seconds)

    def predicted(self, rows: int) -> None:
        """Counts a prediction."""
        self._rows.inc(rows)
        self._batch.observe(rows)

    def serves(self, name: str, digest: str, kind: str) -> None:
        """Says which package is served, of which format."""
        self._model.info({"name": name, "digest": digest, "format": kind})

    def dropped(self, reason: str, requests: int = 1) -> None:
        """Counts requests that capture lost."""
        self._dropped.labels(reason).inc(requests)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)
