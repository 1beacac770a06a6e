"""The model behind every contract: readiness, and predictions in bounded numbers off the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from model_packaging.errors import InputError
from model_packaging.formats.predictor import Columns, Predictions, count
from model_packaging.serving import media
from model_packaging.serving.batching import Batcher
from model_packaging.serving.capture import Capture, CaptureSettings
from model_packaging.serving.columnar import ColumnReader
from model_packaging.serving.limits import Limits
from model_packaging.serving.log import log
from model_packaging.serving.metrics import Metrics
from model_packaging.serving.problems import RequestProblem
from model_packaging.serving.rows import Checker

if TYPE_CHECKING:
    import numpy as np

    from model_packaging.package import Package

T = TypeVar("T")

SMALL_BYTES = 64 * 1024
"""A request up to this size is decoded and encoded on the event loop, and may be joined with others. Handing it over
costs a tenth of a millisecond or two, more than most such requests take; one that must be read value by value keeps
the loop for 10 ms at the most."""


class Predicts(Protocol):
    """What the service needs of a loaded model (`model_packaging.formats.Predictor` is one)."""

    def predict(self, rows: list[dict[str, Any]]) -> list[Any]: ...

    def predict_columns(self, columns: Columns) -> Predictions: ...


@dataclass(frozen=True)
class _Loaded:
    model: Predicts
    reader: ColumnReader
    checker: Checker
    classes: list[Any]


class Service:
    """Holds one loaded package. A contract decodes a request into columns (`read` for rows, `check` for arrays) and
    calls `answer`, or `predict_columns`, which join small requests into one prediction."""

    def __init__(self, limits: Limits, capture: CaptureSettings | None = None) -> None:
        """With `capture`, a share of the requests and their answers is written."""
        self.limits = limits
        self.metrics = Metrics(lambda: self.busy)
        self._capture_settings = capture
        self.redacted = capture.redact if capture else ()
        self._capture: Capture | None = None
        self.digest: str | None = None
        self.draining = False
        self._package: Package | None = None
        self._model: _Loaded | None = None
        self._pool = ThreadPoolExecutor(limits.parallel, thread_name_prefix="predict")
        self._most = limits.parallel + limits.queue
        self._batcher = Batcher(self.predict_now, self._pool, limits)
        self._lock = threading.Lock()
        self._pending = 0

    def start(self, package: Package, model: Predicts) -> None:
        """Makes the service ready; call only with a model that reproduces its package's examples.
        ModelberthError where capture does not suit the package."""
        signature = package.signature
        classes = list(signature["outputs"].get("classes") or [])
        checker = Checker(signature, self.redacted)
        if self._capture_settings is not None:
            self._capture = Capture(self._capture_settings, checker.columns, self.metrics)
        self.metrics.serves(package.name, package.digest, package.format)
        self.digest = package.digest
        self._package = package
        self._model = _Loaded(model, ColumnReader(signature["inputs"]), checker, classes)

    @property
    def ready(self) -> bool:
        """Whether a load balancer should send requests here."""
        return self._model is not None and not self.draining

    def require_model(self) -> None:
        """RequestProblem: 503 while the model is loading."""
        self._loaded()

    @property
    def columns(self) -> list[str]:
        """The signature's columns, in the order of CSV. RequestProblem: 503 while loading."""
        return self._loaded().checker.columns

    @property
    def classes(self) -> list[Any]:
        """The labels of a classifier, in the order of CSV; empty for a regression."""
        return self._model.classes if self._model else []

    @property
    def package(self) -> Package:
        """The package that is served. RequestProblem (503) while it is loading."""
        self._loaded()
        return cast("Package", self._package)

    @property
    def busy(self) -> int:
        """Requests that run or wait."""
        return self._pending + self._batcher.pending

    def read(self, body: bytes, given: media.MediaType) -> Columns:
        """The columns of a request's rows in one of the media types. RequestProblem says what is wrong with them."""
        loaded = self._loaded()
        most = self.limits.max_rows
        found = loaded.reader.read(body, given, most)
        if found is not None:
            return found
        return loaded.checker.typed(media.decode(body, given, loaded.checker.columns, most))

    def enveloped(self, body: bytes, keys: Collection[str], decode: Callable[[bytes], media.RawRows]) -> Columns:
        """The columns of a contract's own JSON object, which has the rows under one of the keys. Where anything is
        unusual, `decode` finds the rows. RequestProblem says what is wrong with them."""
        loaded = self._loaded()
        most = self.limits.max_rows
        found = loaded.reader.enveloped(body, keys, most)
        return loaded.checker.typed(media.bounded(decode(body), most)) if found is None else found

    def check(self, columns: Mapping[str, np.ndarray]) -> Columns:
        """Columns that came as arrays (of one dimension, each, or `Numbers`), in the types that the model expects.
        RequestProblem names what does not fit the signature."""
        loaded = self._loaded()
        media.bound(count(columns), self.limits.max_rows)
        found = loaded.reader.check(columns)
        return loaded.checker.arrays(columns) if found is None else found

    async def answer(
        self,
        size: int,
        decode: Callable[[], Columns],
        encode: Callable[[Predictions], bytes],
        identifier: str | None = None,
    ) -> tuple[bytes, int]:
        """The encoded predictions, and the number of rows, of a request of `size` bytes. Labels that come later
        refer to the captured request by the `identifier`.

        Nothing that takes long happens on the event loop: a large request is decoded and encoded by a worker.
        `encode` must raise InputError, as `Predictions.check` does, where the model gave no finite number.
        RequestProblem: whatever `decode` raises; 400 what the model refuses; 503 where the queue is full; 504 where
        it took too long.
        """
        if size > SMALL_BYTES:

            def work() -> tuple[bytes, int]:
                columns = decode()
                predictions = self.predict_now(columns)
                content = _encoded(encode, predictions)
                self._captured(columns, predictions, identifier)
                return content, len(predictions)

            return await self.run(work)
        columns = decode()
        predictions = await self.predict_columns(columns)
        content = _encoded(encode, predictions)
        self._captured(columns, predictions, identifier)
        return content, len(predictions)

    async def predict_columns(self, columns: Columns) -> Predictions:
        """The predictions of a small request, which may be joined with others. RequestProblem as for `answer`."""
        found = self._batcher.at_once(columns)
        if found is not None:
            return found
        self._admit()
        future = self._batcher.put(columns, count(columns))
        timer = asyncio.get_running_loop().call_later(self.limits.timeout_seconds, self._expire, future)
        try:
            return await future
        finally:
            timer.cancel()

    def predict_now(self, columns: Columns) -> Predictions:
        """The predictions. Blocks: for worker threads. RequestProblem: 400 what the model refuses."""
        loaded = self._loaded()
        try:
            predictions = loaded.model.predict_columns(columns)
        except InputError as error:
            raise RequestProblem(400, error.problems) from None
        except Exception:
            # A model made to refuse unknown categories fails inside the library; that is bad input.
            if unseen := loaded.checker.unseen(columns):
                raise RequestProblem(400, unseen) from None
            raise
        if len(predictions) != count(columns):
            raise RuntimeError(f"the model gave {len(predictions)} predictions for {count(columns)} rows")
        self.metrics.predicted(len(predictions))
        return predictions

    def predict(self, raw: media.RawRows) -> list[Any]:
        """Prediction objects, one per row. Blocks: call it within `run`."""
        columns = self._loaded().checker.typed(raw)
        predictions = self.predict_now(columns)
        found = _encoded(Predictions.objects, predictions)
        self._captured(columns, predictions, None)
        return found

    async def run(self, function: Callable[[], T]) -> T:
        """The function's result from a worker thread. RequestProblem: 503 where the queue is full,
        504 where it took too long (the thread stays taken until the model returns)."""
        self._admit()
        with self._lock:
            self._pending += 1
        future = self._pool.submit(function)
        future.add_done_callback(self._finished)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.limits.timeout_seconds)
        except TimeoutError:
            raise self._too_slow() from None

    def secret(self, tensor: str) -> bool:
        """Whether an input tensor of the Open Inference Protocol may hold values that must not be quoted: those of a
        redacted column, or, by another name than a column's, of all columns."""
        return bool(self.redacted) and (tensor in self.redacted or tensor not in self.columns)

    def failure(self, error: Exception) -> str:
        """What to tell of the model's exception: a library's own words may quote any value, a redacted one too."""
        return type(error).__name__ if self.redacted else f"{type(error).__name__}: {error}"

    def close(self) -> None:
        """Takes no more work and forgets what waits; running predictions go on. What was captured is written."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._capture is not None:
            self._capture.close()

    @property
    def full(self) -> bool:
        """Whether one more request would be refused."""
        return self.busy >= self._most

    def _captured(self, columns: Columns, predictions: Predictions, identifier: str | None) -> None:
        if self._capture is not None:
            self._capture.add(columns, predictions, identifier)

    def _admit(self) -> None:
        if self.full:
            raise RequestProblem(503, f"{self.busy} requests are in progress or waiting: try again")

    def _expire(self, future: asyncio.Future[Predictions]) -> None:
        if not future.done():
            future.set_exception(self._too_slow())

    def _too_slow(self) -> RequestProblem:
        return RequestProblem(504, f"no prediction within {self.limits.timeout_seconds:g} s: send fewer rows")

    def _finished(self, future: Future[Any]) -> None:
        with self._lock:
            self._pending -= 1

    def _loaded(self) -> _Loaded:
        if self._model is None:
            raise RequestProblem(503, "the model is still loading: try again")
        return self._model


def load(address: str, *, allow_pickle: bool = False) -> tuple[Package, Predicts]:
    """Opens, verifies and loads a package, and proves that it gives its recorded predictions.
    ModelberthError says what is wrong."""
    from model_packaging import formats
    from model_packaging.errors import ModelberthError
    from model_packaging.package import open_package
    from model_packaging.serving.examples import unreproduced

    began = time.perf_counter()
    package = open_package(address)
    opened = time.perf_counter()
    model = cast("Predicts", formats.load(package, allow_pickle=allow_pickle))
    loaded = time.perf_counter()
    if found := unreproduced(package.examples, model.predict):
        raise ModelberthError(
            *(f"package {package.name} does not reproduce its recorded predictions: {line}" for line in found[:5])
        )
    log(
        "model loaded",
        package=package.name,
        digest=package.digest,
        examples=len(package.examples["inputs"]),
        verify_seconds=round(opened - began, 3),
        load_seconds=round(loaded - opened, 3),
        examples_seconds=round(time.perf_counter() - loaded, 3),
    )
    return package, model


def _encoded(encode: Callable[[Predictions], T], predictions: Predictions) -> T:
    try:
        return encode(predictions)
    except InputError as error:
        raise RequestProblem(400, error.problems) from None
