"""A small real container program for tests: `serve` and `train` as SageMaker's container contract asks.

MODE (environment) chooses how it serves: ok, exit (ends at once), silent (never answers /ping).
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BASE = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


class Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", self.headers.get("Accept", "text/plain"))
        self.send_header("Content-Length", str(len(body)))
        attributes = self.headers.get("X-Amzn-SageMaker-Custom-Attributes")
        if attributes:
            self.send_header("X-Amzn-SageMaker-Custom-Attributes", attributes)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer(200 if os.environ.get("MODE") != "silent" else 503, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if body == b"bad":
            self.answer(400, b"column 3 is missing")
        elif body == b"broken":
            self.answer(500, b"out of luck")
        elif body == b"slow":
            time.sleep(0.3)
            self.answer(200, b"slow " + (BASE / "model" / "weights.txt").read_bytes())
        else:
            self.answer(200, body + b" " + (BASE / "model" / "weights.txt").read_bytes())


def serve() -> None:
    print("loading the model", flush=True)
    if os.environ.get("MODE") == "exit":
        print("the model is broken", flush=True)
        sys.exit(3)
    port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def train() -> None:
    given = json.loads((BASE / "input/config/hyperparameters.json").read_text())
    print("training with", given, flush=True)
    if given.get("fail"):
        (BASE / "output").mkdir(exist_ok=True)
        (BASE / "output/failure").write_text("the data are too few")
        sys.exit(1)
    time.sleep(float(given.get("seconds", 0)))
    data = sorted(path.read_text() for path in (BASE / "input/data/training").rglob("*") if path.is_file())
    (BASE / "model" / "weights.txt").write_text(given.get("prefix", "") + "".join(data))


def process() -> None:
    source, target = BASE / "processing/in", BASE / "processing/out"
    text = "".join(path.read_text() for path in source.rglob("*.txt"))
    (target / "report.txt").write_text(text.upper() + os.environ.get("SUFFIX", ""))
    if os.environ.get("REFUSE"):
        (BASE / "output").mkdir(exist_ok=True)
        (BASE / "output/message").write_text("auc 0.4 is below 0.8")
        sys.exit(1)


{"serve": serve, "train": train, "process": process}[sys.argv[1]]()
