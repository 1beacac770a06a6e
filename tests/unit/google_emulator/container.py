"""A small container under Vertex AI's contract. MODE (environment): ok, exit (ends at once), bad (answers 400)."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer(200 if self.path == os.environ["AIP_HEALTH_ROUTE"] else 404, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != os.environ["AIP_PREDICT_ROUTE"]:
            self.answer(404, b"")
        elif os.environ.get("MODE") == "bad" or b"instances" not in body:
            self.answer(400, b'{"error": "column 3 is missing"}')
        else:
            who = [os.environ.get("WHO", "")] * len(json.loads(body)["instances"])
            self.answer(200, json.dumps({"predictions": who}).encode())


if os.environ.get("MODE") == "exit":
    print("the model is broken", flush=True)
    sys.exit(3)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()
