"""Requests at the same time: joined, each with its own answer or error; and more of them than can be served."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model_packaging.formats.predictor import Columns, Predictions
from model_packaging.serving.app import application
from model_packaging.serving.limits import Limits
from model_packaging.serving.problems import RequestProblem
from model_packaging.serving.service import Service

SIGNATURE = {
    "inputs": [{"name": "x", "type": "number", "nullable": False}],
    "outputs": {"task": "regression"},
}
PACKAGE: Any = SimpleNamespace(name="double", digest="sha256:0", format="none", signature=SIGNATURE)


class Model:
    """Doubles numbers. It waits before a row of 0 until it is released, and fails for a row of 13."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.held = threading.Event()
        self.batches: list[int] = []

    def predict(self, rows: list[dict[str, Any]]) -> list[Any]:
        raise NotImplementedError

    def predict_columns(self, columns: Columns) -> Predictions:
        values = columns["x"]
        self.batches.append(len(values))
        if 0 in values:
            self.held.set()
            assert self.released.wait(30)
        if 13 in values:
            raise ZeroDivisionError("thirteen")
        return Predictions((values * 2).tolist())


def started(model: Any, **limits: Any) -> Service:
    service = Service(Limits(**limits))
    service.start(PACKAGE, model)
    return service


async def ask(service: Service, *values: float) -> list[float]:
    return (await service.predict_columns({"x": np.array(values, dtype=float)})).objects()


async def until(happened: Callable[[], bool]) -> None:
    while not happened():
        await asyncio.sleep(0.001)


@pytest.fixture
def model() -> Model:
    return Model()


async def held(service: Service, model: Model) -> "asyncio.Task[list[float]]":
    """A request whose prediction runs until the model is released."""
    running = asyncio.create_task(ask(service, 0))
    await asyncio.wait_for(until(model.held.is_set), 30)
    return running


@pytest.mark.asyncio
async def test_what_waits_is_joined_and_everyone_gets_the_own_answer(model: Model) -> None:
    service = started(model, workers=1)
    running = await held(service, model)
    waiting = [asyncio.create_task(ask(service, n, n + 0.5)) for n in range(1, 13)]
    await until(lambda: service.busy == 13)
    model.released.set()
    assert await running == [0]
    assert await asyncio.gather(*waiting) == [[2 * n, 2 * n + 1] for n in range(1, 13)]
    assert model.batches == [1, 24]
    assert service.busy == 0
    service.close()


@pytest.mark.asyncio
async def test_the_error_of_one_row_is_nobody_elses(model: Model) -> None:
    service = started(model, workers=1)
    running = await held(service, model)
    waiting = [asyncio.create_task(ask(service, n)) for n in (12, 13, 14)]
    await until(lambda: service.busy == 4)
    model.released.set()
    assert await running == [0]
    first, second, third = await asyncio.gather(*waiting, return_exceptions=True)
    assert (first, third) == ([24], [28])
    assert isinstance(second, ZeroDivisionError)
    assert model.batches == [1, 3, 1, 1, 1]
    service.close()


@pytest.mark.asyncio
async def test_an_idle_server_waits_for_no_company(model: Model) -> None:
    service = started(model, workers=2, batch_wait_milliseconds=1e6)
    assert await asyncio.wait_for(ask(service, 3), 20) == [6]
    service.close()


@pytest.mark.asyncio
async def test_a_free_worker_takes_what_has_waited_long_enough(model: Model) -> None:
    service = started(model, workers=2, batch_wait_milliseconds=1)
    running = await held(service, model)
    assert await asyncio.wait_for(ask(service, 3), 20) == [6]
    assert not running.done()
    model.released.set()
    assert await running == [0]
    service.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(("most", "batches"), [(1, [1, 1, 1, 1]), (2, [1, 2, 1])])
async def test_a_batch_has_no_more_rows_than_allowed(model: Model, most: int, batches: list[int]) -> None:
    service = started(model, workers=1, batch_rows=most)
    running = await held(service, model)
    waiting = [asyncio.create_task(ask(service, n)) for n in (1, 2, 3)]
    await until(lambda: service.busy == 4)
    model.released.set()
    assert [await running, *await asyncio.gather(*waiting)] == [[0], [2], [4], [6]]
    assert model.batches == batches
    service.close()


@pytest.mark.asyncio
async def test_who_waited_too_long_is_told_and_costs_no_prediction(model: Model) -> None:
    service = started(model, workers=1, timeout_seconds=0.05)
    running = await held(service, model)
    with pytest.raises(RequestProblem, match=r"no prediction within 0\.05 s") as problem:
        await ask(service, 5)
    assert problem.value.status == 504
    with pytest.raises(RequestProblem):
        await running
    model.released.set()
    await until(lambda: service.busy == 0)
    assert model.batches == [1]
    service.close()


@pytest.mark.asyncio
async def test_quick_predictions_run_on_the_event_loop_and_are_joined_too() -> None:
    threads: list[str] = []

    class Watched(Model):
        def predict_columns(self, columns: Columns) -> Predictions:
            threads.append(threading.current_thread().name)
            return super().predict_columns(columns)

    model = Watched()
    service = started(model, inline_milliseconds=1e6)
    assert await ask(service, 1) == [2]
    answers = await asyncio.gather(*(ask(service, n) for n in (12, 13, 14)), return_exceptions=True)
    assert (answers[0], type(answers[1]), answers[2]) == ([24], ZeroDivisionError, [28])
    assert model.batches == [1, 3, 1, 1, 1]
    assert threads[0].startswith("predict")
    assert set(threads[1:]) == {threading.current_thread().name}
    service.close()


@pytest.mark.asyncio
async def test_who_has_been_alone_is_answered_at_once_until_company_comes(model: Model) -> None:
    service = started(model, inline_milliseconds=1e6)
    for _ in range(20):
        await ask(service, 1)
        await asyncio.sleep(0)
    asking = service.predict_columns({"x": np.array([5.0])})
    with pytest.raises(StopIteration) as done:  # it is answered without a turn of the event loop
        asking.send(None)
    assert done.value.value.objects() == [10]
    await asyncio.sleep(0)
    model.batches.clear()
    assert await asyncio.gather(*(ask(service, n) for n in (2, 3, 4))) == [[4], [6], [8]]
    assert await asyncio.gather(*(ask(service, n) for n in (2, 3, 4))) == [[4], [6], [8]]
    assert model.batches == [1, 2, 3]
    with pytest.raises(ZeroDivisionError):
        await ask(service, 13)
    service.close()


@pytest.mark.asyncio
async def test_after_a_slow_prediction_workers_predict() -> None:
    threads: list[str] = []

    class Watched(Slow):
        def predict_columns(self, columns: Columns) -> Predictions:
            threads.append(threading.current_thread().name)
            return super().predict_columns(columns)

    service = started(Watched(), inline_milliseconds=1)
    for _ in range(3):
        await ask(service, 1)
    assert all(name.startswith("predict") for name in threads)
    service.close()


class Slow(Model):
    """Takes a hundredth of a second for each prediction: capacity is known."""

    def predict_columns(self, columns: Columns) -> Predictions:
        time.sleep(0.01)
        return super().predict_columns(columns)


async def post(app: Any, body: bytes) -> int:
    """The status that the application answers."""
    statuses: list[int] = []
    headers: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
            headers.extend(message["headers"])

    scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b"", "headers": []}
    await app(scope, receive, send)
    assert (statuses[0] == 503) == ((b"retry-after", b"1") in headers)
    return statuses[0]


@pytest.mark.asyncio
async def test_more_than_can_be_served_does_not_slow_down_what_is_served() -> None:
    service = started(Slow(), workers=1, queue=4, batch_rows=1)
    app = application(service)
    body = json.dumps([[1.0]]).encode()

    async def client(end: float, pause: float) -> list[int]:
        statuses: list[int] = []
        while time.monotonic() < end:
            statuses.append(await post(app, body))
            await asyncio.sleep(pause)
        return statuses

    async def good(clients: int, pause: float) -> tuple[int, int]:
        found = await asyncio.gather(*(client(time.monotonic() + 1, pause) for _ in range(clients)))
        statuses = [status for one in found for status in one]
        assert set(statuses) <= {200, 503}
        return statuses.count(200), statuses.count(503)

    capacity, refused = await good(2, 0)
    assert refused == 0
    served, refused = await good(30, 0.02)
    assert refused > served  # far more was offered than could be served
    assert served >= 0.7 * capacity
    service.close()
