# pyright: basic
# (scikit-learn carries no types)
"""How training rows are cut into folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..errors import ModelberthError, did_you_mean

SPLITTERS = ("grouped", "random", "sliding", "stratified", "stratified_grouped", "time")
"""`time` and `sliding` are backtests: every fold is tested on rows after those it was fitted on, with a window
that grows (`time`), or that keeps its length and moves (`sliding`)."""

_REPEATABLE = ("random", "stratified")


def splits(
    splitter: str, folds: int, repeats: int, inputs: Any, target: Any, groups: Any, seed: int
) -> Iterator[tuple[Any, Any]]:
    """Positions of the rows to fit on and to test on. ModelberthError for what cannot be cut so."""
    from sklearn import model_selection as ms

    problems: list[str] = []
    if splitter not in SPLITTERS:
        hint = did_you_mean(splitter, SPLITTERS)
        raise ModelberthError(f'unknown splitter "{splitter}": choose {", ".join(SPLITTERS)}{hint}')
    if "grouped" in splitter and groups is None:
        problems.append(f"splitter {splitter} needs groups")
    if repeats < 1 or (repeats > 1 and splitter not in _REPEATABLE):
        problems.append(
            f"repeats is {repeats}: it must be 1, or above with splitter {' or '.join(_REPEATABLE)}, "
            "which cut by chance"
        )
    if problems:
        raise ModelberthError(*problems)
    shuffled: dict[str, Any] = {"shuffle": True, "random_state": seed}
    makers: dict[str, Callable[[], Any]] = {
        "time": lambda: ms.TimeSeriesSplit(folds),
        "sliding": lambda: ms.TimeSeriesSplit(folds, max_train_size=max(len(target) // (folds + 1), 1)),
        "grouped": lambda: ms.GroupKFold(folds),
        "stratified_grouped": lambda: ms.StratifiedGroupKFold(folds, **shuffled),
        "stratified": lambda: (
            ms.StratifiedKFold(folds, **shuffled)
            if repeats == 1
            else ms.RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
        ),
        "random": lambda: (
            ms.KFold(folds, **shuffled)
            if repeats == 1
            else ms.RepeatedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
        ),
    }
    return makers[splitter]().split(inputs, target, groups if "grouped" in splitter else None)
