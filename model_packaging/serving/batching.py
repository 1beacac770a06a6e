"""Small requests that come while a prediction runs are joined into the next one.

An idle server predicts at once; nothing waits for company. What comes while a prediction runs is collected, and goes
as one prediction when that ends; or, where the running one is slow and another worker is free, after at most
`batch_wait_milliseconds`. So the more there is to do, the larger the batches, and many small predictions of a busy
server cost about as much as one. (Crankshaw et al., "Clipper: A Low-Latency Online Prediction Serving System", NSDI
2017, section 4.3, on adaptive batching.)

Handing a prediction to a worker and back costs two switches between threads, on a busy machine milliseconds. So
while predictions have been taking less than `inline_milliseconds`, they run on the event loop; requests that arrive
meanwhile wait in their sockets, and are joined all the same. The first prediction of all goes to a worker. Where
requests have been coming one by one, the next does not even wait for the event loop to look for company.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from model_packaging.formats.predictor import Columns, Predictions, joined
from model_packaging.serving.limits import Limits

_COMPANY_PASSES = 16
"""Lone predictions after which the next request is not expected to have company."""


@dataclass(slots=True)
class _Waiting:
    columns: Columns
    rows: int
    answer: asyncio.Future[Predictions]


_Outcome = Predictions | Exception


class Batcher:
    """Joins requests; everything but `predict` itself happens on the event loop."""

    def __init__(self, predict: Callable[[Columns], Predictions], pool: ThreadPoolExecutor, limits: Limits) -> None:
        """`predict` runs in the pool and may raise for rows that it refuses."""
        self._predict = predict
        self._pool = pool
        self._most = limits.batch_rows
        self._patience = limits.batch_wait_milliseconds / 1000
        self._workers = limits.parallel
        self._queue: list[_Waiting] = []
        self._running = 0
        self._in_progress = 0
        self._timer: asyncio.TimerHandle | None = None
        self._inline_seconds = limits.inline_milliseconds / 1000
        self._turn: asyncio.Handle | None = None
        self._seconds: float | None = None
        self._company = _COMPANY_PASSES
        self._here_already = False

    @property
    def pending(self) -> int:
        """Requests that run or wait."""
        return self._in_progress + len(self._queue)

    def at_once(self, columns: Columns) -> Predictions | None:
        """The predictions of a quick model for a request that seems to be alone; None where it must be `put`. Raises
        what `predict` raises."""
        if self._company or self._running or self._turn is not None or not self._quick:
            return None
        if self._here_already:
            self._company = _COMPANY_PASSES
            return None
        self._here_already = True
        asyncio.get_running_loop().call_soon(self._gone)
        began = time.perf_counter()
        try:
            return self._predict(columns)
        finally:
            self._took(time.perf_counter() - began)

    def put(self, columns: Columns, rows: int) -> asyncio.Future[Predictions]:
        """The future predictions of some rows. The future raises what `predict` raised for these rows alone; who
        cancels it loses nothing but the answer."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Predictions] = loop.create_future()
        self._queue.append(_Waiting(columns, rows, answer))
        if self._running == 0:
            if not self._quick:
                self._start(loop)
            elif self._turn is None:
                # After the other requests that have arrived by now.
                self._turn = loop.call_soon(self._start, loop)
        elif self._running < self._workers and self._timer is None:
            self._timer = loop.call_later(self._patience, self._start, loop)
        return answer

    def _gone(self) -> None:
        self._here_already = False

    @property
    def _quick(self) -> bool:
        """Whether a prediction takes less time than handing it over."""
        return self._seconds is not None and self._seconds < self._inline_seconds

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Predict what waits, up to the most rows of a batch: here, or by a free worker."""
        self._turn = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue and self._queue[0].answer.done():  # given up meanwhile
            del self._queue[0]
        if not self._queue or self._running >= self._workers:
            return
        end, rows = 1, self._queue[0].rows
        while end < len(self._queue) and rows + self._queue[end].rows <= self._most:
            rows += self._queue[end].rows
            end += 1
        batch = [one for one in self._queue[:end] if not one.answer.done()]
        del self._queue[:end]
        self._running += 1
        self._in_progress += len(batch)
        if self._running == 1 and self._quick:
            self._done(loop, batch, *self._timed(batch))
            return
        self._pool.submit(self._work, loop, batch)
        if self._queue and self._running < self._workers:
            self._timer = loop.call_later(self._patience, self._start, loop)

    def _work(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting]) -> None:
        outcomes, seconds = self._timed(batch)
        with suppress(RuntimeError):  # the loop is gone: the process ends
            loop.call_soon_threadsafe(self._done, loop, batch, outcomes, seconds)

    def _timed(self, batch: list[_Waiting]) -> tuple[list[_Outcome], float]:
        began = time.perf_counter()
        outcomes = self._outcomes([one.columns for one in batch], [one.rows for one in batch])
        return outcomes, time.perf_counter() - began

    def _outcomes(self, parts: list[Columns], rows: list[int]) -> list[_Outcome]:
        if len(parts) == 1:
            return [self._alone(parts[0])]
        try:
            together = self._predict(joined(parts))
            outcomes: list[_Outcome] = []
            start = 0
            for number in rows:
                outcomes.append(together.part(start, start + number))
                start += number
            return outcomes
        except Exception:
            # Whoever sent what the model cannot take must be told, and nobody else.
            return [self._alone(part) for part in parts]

    def _alone(self, columns: Columns) -> _Outcome:
        try:
            return self._predict(columns)
        except Exception as error:
            return error

    def _done(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], outcomes: list[_Outcome], seconds: float
    ) -> None:
        self._took(seconds)
        self._company = _COMPANY_PASSES if len(batch) > 1 else max(self._company - 1, 0)
        self._running -= 1
        self._in_progress -= len(batch)
        for one, outcome in zip(batch, outcomes, strict=True):
            if one.answer.done():
                continue
            if isinstance(outcome, Exception):
                one.answer.set_exception(outcome)
            else:
                one.answer.set_result(outcome)
        if self._queue and self._turn is None:
            self._turn = loop.call_soon(self._start, loop)

    def _took(self, seconds: float) -> None:
        # One slow prediction is remembered for some dozens of quick ones.
        self._seconds = max(seconds, (self._seconds or 0) * 0.9)
