"""Data capture: requests and answers of an endpoint as JSON Lines in the bucket.

Source: SageMaker developer guide, "Capture data from real-time endpoint": the record's form and the path
`{DestinationS3Uri}/{endpoint}/{variant}/yyyy/mm/dd/hh/filename.jsonl`. Times are the wall clock's.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import threading
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from sandbox.aws import objects

FLUSH_SECONDS = 2.0


class Capture:
    """Collects one fleet's captured calls and writes them every two seconds."""

    def __init__(self, endpoint: str, config: dict[str, Any], stopping: threading.Event) -> None:
        self._endpoint = endpoint
        self._config = config
        self._modes = {one["CaptureMode"] for one in config["CaptureOptions"]}
        self._waiting: dict[str, list[str]] = defaultdict(list)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        if config.get("EnableCapture"):
            threading.Thread(target=self._run, daemon=True, name=f"capture {endpoint}").start()

    def add(
        self, variant: str, request: tuple[str, bytes], answer: tuple[str, bytes], inference_id: str | None
    ) -> None:
        """Take one call into the sample, by chance."""
        if not self._config.get("EnableCapture"):
            return
        if random.random() * 100 >= float(self._config["InitialSamplingPercentage"]):
            return
        data: dict[str, Any] = {}
        if self._modes & {"Input", "InputAndOutput"}:
            data["endpointInput"] = self._side("INPUT", *request)
        if self._modes & {"Output", "InputAndOutput"}:
            data["endpointOutput"] = self._side("OUTPUT", *answer)
        metadata = {"eventId": str(uuid.uuid4()), "inferenceTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        if inference_id:
            metadata["inferenceId"] = inference_id
        record = {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}
        with self._lock:
            self._waiting[variant].append(json.dumps(record, separators=(",", ":")))

    def _side(self, mode: str, content_type: str, body: bytes) -> dict[str, str]:
        kinds = self._config.get("CaptureContentTypeHeader") or {}
        kind = content_type.split(";")[0].strip()
        encoding = "BASE64"
        if kind in kinds.get("CsvContentTypes", []):
            encoding = "CSV"
        elif kind in kinds.get("JsonContentTypes", []):
            encoding = "JSON"
        text = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode("utf-8", "replace")
        return {"observedContentType": content_type, "mode": mode, "data": text, "encoding": encoding}

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            waiting, self._waiting = self._waiting, defaultdict(list)
        now = datetime.now(UTC)
        prefix = str(self._config["DestinationS3Uri"]).rstrip("/")
        for variant, lines in waiting.items():
            name = f"{now:%Y/%m/%d/%H/%M-%S}-{now.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
            # As on SageMaker: capture that cannot be written fails no request.
            with contextlib.suppress(FileNotFoundError):
                objects.write(f"{prefix}/{self._endpoint}/{variant}/{name}", ("\n".join(lines) + "\n").encode())

    def _run(self) -> None:
        while not self._closed.wait(FLUSH_SECONDS):
            self.flush()

    def close(self) -> None:
        """Write the rest and end."""
        self._closed.set()
        self.flush()
