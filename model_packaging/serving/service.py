"""The model behind every contract: readiness, and predictions in bounded numbers off the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from model_packaging.errors import InputError
from model_packaging.serving.limits import Limits
from model_packaging.serving.log import log
from model_packaging.serving.media import RawRows
from model_packaging.serving.problems import RequestProblem
from model_packaging.serving.rows import Checker

if TYPE_CHECKING:
    from model_packaging.package import Package

T = TypeVar("T")


class Predicts(Protocol):
    """What the service needs of a loaded model (`model_packaging.formats.Predictor` is one)."""

    def predict(self, rows: list[dict[str, Any]]) -> list[Any]: ...


class Service:
    """Holds one loaded package. The contracts call `run` with a function that decodes, calls
    `predict` and encodes, so that none of the three blocks the event loop."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.digest: str | None = None
        self.draining = False
        self._package: Package | None = None
        self._model: Predicts | None = None
        self._checker: Checker | None = None
        self._classes: list[Any] = []
        self._pool = ThreadPoolExecutor(limits.parallel, thread_name_prefix="predict")
        self._lock = threading.Lock()
        self._pending = 0

    def start(self, package: Package, model: Predicts) -> None:
        """Makes the service ready; call only with a model that reproduces its package's examples."""
        self._checker = Checker(package.signature)
        self._classes = list(package.signature["outputs"].get("classes") or [])
        self.digest = package.digest
        self._package = package
        self._model = model

    @property
    def ready(self) -> bool:
        """Whether a load balancer should send requests here."""
        return self._model is not None and not self.draining

    @property
    def columns(self) -> list[str]:
        """The signature's columns, in the order of CSV."""
        return self._loaded()[0].columns

    @property
    def classes(self) -> list[Any]:
        """The labels of a classifier, in the order of CSV; empty for a regression."""
        return self._classes

    @property
    def package(self) -> Package:
        """The package that is served. RequestProblem (503) while it is loading."""
        self._loaded()
        return cast("Package", self._package)

    @property
    def busy(self) -> int:
        """Requests that run or wait."""
        return self._pending

    def predict(self, raw: RawRows) -> list[Any]:
        """Prediction objects, one per row. Blocks: call it within `run`."""
        checker, model = self._loaded()
        rows = checker.rows(raw)
        try:
            predictions = model.predict(rows)
        except InputError as error:
            raise RequestProblem(400, error.problems) from None
        except Exception:
            # A model made to refuse unknown categories fails inside the library; that is bad input.
            if unseen := checker.unseen(rows):
                raise RequestProblem(400, unseen) from None
            raise
        if len(predictions) != len(rows):
            raise RuntimeError(f"the model gave {len(predictions)} predictions for {len(rows)} rows")
        return predictions

    async def run(self, function: Callable[[], T]) -> T:
        """The function's result from a worker thread. RequestProblem: 503 where the queue is full,
        504 where it took too long (the thread stays taken until the model returns)."""
        with self._lock:
            if self._pending >= self.limits.parallel + self.limits.queue:
                raise RequestProblem(503, f"{self._pending} requests are in progress or waiting: try again")
            self._pending += 1
        future = self._pool.submit(function)
        future.add_done_callback(self._finished)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.limits.timeout_seconds)
        except TimeoutError:
            seconds = f"{self.limits.timeout_seconds:g} s"
            raise RequestProblem(504, f"no prediction within {seconds}: send fewer rows") from None

    def close(self) -> None:
        """Takes no more work and forgets what waits; running predictions go on."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _finished(self, future: Future[Any]) -> None:
        with self._lock:
            self._pending -= 1

    def _loaded(self) -> tuple[Checker, Predicts]:
        if self._checker is None or self._model is None:
            raise RequestProblem(503, "the model is still loading: try again")
        return self._checker, self._model


def load(address: str) -> tuple[Package, Predicts]:
    """Opens, verifies and loads a package, and proves that it gives its recorded predictions.
    ModelberthError says what is wrong."""
    from model_packaging import formats
    from model_packaging.errors import ModelberthError
    from model_packaging.package import open_package
    from model_packaging.serving.examples import differences

    began = time.perf_counter()
    package = open_package(address)
    opened = time.perf_counter()
    model = cast("Predicts", formats.load(package))
    loaded = time.perf_counter()
    examples = package.examples
    given = model.predict(list(examples["inputs"]))
    found = differences(examples["predictions"], given, float(examples["tolerance"]))
    if not examples["inputs"]:
        found = ["examples.json holds no example"]
    if found:
        raise ModelberthError(
            *(f"package {package.name} does not reproduce its recorded predictions: {line}" for line in found[:5])
        )
    log(
        "model loaded",
        package=package.name,
        digest=package.digest,
        examples=len(given),
        verify_seconds=round(opened - began, 3),
        load_seconds=round(loaded - opened, 3),
        examples_seconds=round(time.perf_counter() - loaded, 3),
    )
    return package, model
