# pyright: basic
# (pandas and scipy carry no types)
"""Join captured answers with labels, and say which of two variants is better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ModelberthError, choices
from ..formats.predictor import class_key
from ..jobs.monitor.capture import Examples, Exchange
from ..jobs.monitor.labels import ENDINGS, Arrived, read
from ..jobs.monitor.traffic import Traffic
from ..package import Package
from ..serving.problems import RequestProblem
from .sequential import MIN_ROWS, Effect, Sample, effect, rows_needed, sample

SUSPICIOUS = 0.001
"""A split of the traffic, or of the labels, less likely than this by chance makes the variants no fair comparison.
Source: A. Fabijan and others, "Diagnosing Sample Ratio Mismatch", KDD 2019."""

Labels = dict[str, float]
"""Numbers, or positions among the model's classes, by a request's identifier, a slash and the row in it."""


@dataclass
class Outcomes:
    """What came of one variant's answers."""

    rows: int = 0
    values: list[float] = field(default_factory=list)
    """1 or 0 for a right or a wrong label; the absolute error of a number. Of labelled rows only."""


@dataclass(frozen=True)
class Verdict:
    """Which variant is better: `better`, `worse` (the treatment), `equal`, `undecided`, or `unfair`."""

    verdict: str
    sentence: str
    metric: str
    control: Sample
    treatment: Sample
    effect: Effect | None
    rows_needed: int | None
    problems: list[str]


def labels_of(addresses: Sequence[str], classes: Sequence[Any]) -> tuple[Labels, Examples]:
    """The labels of files and folders, as the monitor reads them, and those that are no class of the model, or no
    number where one is predicted. Of a row's labels the later one counts.

    Raises:
        ModelberthError: an address holds no file of labels, one of them cannot be read, or a row has two different
            labels and no time says which came later.
    """
    arrived = Arrived()
    found: dict[str, tuple[float, float]] = {}
    for address in addresses:
        files = arrived.files
        for table in read(address, {}, classes, arrived):
            rows = (table[name].tolist() for name in ("key", "label", "time"))
            for key, label, time in zip(*rows, strict=True):
                before = found.get(key)
                if before is None or time > before[1]:
                    found[key] = label, time
                elif label != before[0] and not time < before[1]:
                    name, _, row = key.rpartition("/")
                    both = " and ".join(_shown(one, classes) for one in (before[0], label))
                    text = f"the labels give two for {name}, row {row}: {both}"
                    raise ModelberthError(f"{text}, and no time that says which came later")
        if arrived.files == files:
            raise ModelberthError(f"{address}: there is no file of labels: it must end in {choices(ENDINGS)}")
    if arrived.ill_formed.count:
        raise ModelberthError(*(f"labels: {example}" for example in arrived.ill_formed.examples))
    return {key: label for key, (label, _) in found.items()}, arrived.unknown


def _shown(label: float, classes: Sequence[Any]) -> str:
    return class_key(classes[int(label)]) if classes else f"{label:g}"


def outcomes(
    exchanges: Iterable[Exchange], labels: Labels, package: Package, unreadable: Examples
) -> dict[str, Outcomes]:
    """The outcomes of each variant; an answer that is none goes to `unreadable`. An identifier that was captured
    twice counts once."""
    traffic = Traffic(package)
    outputs: dict[str, Any] = package.signature["outputs"]
    classes = [class_key(one) for one in outputs.get("classes") or []]
    found: dict[str, Outcomes] = {}
    seen: set[str] = set()
    for exchange in exchanges:
        if exchange.answer is None or exchange.identifier is None or exchange.identifier in seen:
            continue
        seen.add(exchange.identifier)
        try:
            answers = traffic.answers(exchange.answer)
        except (RequestProblem, ValueError) as error:
            unreadable.add(f"{exchange.where}: {error}")
            continue
        variant = found.setdefault(exchange.where.partition("/")[0], Outcomes())
        variant.rows += len(answers)
        for row, answer in enumerate(answers):
            label = labels.get(f"{exchange.identifier}/{row}")
            if label is not None:
                if classes:
                    variant.values.append(float(class_key(answer["label"]) == classes[int(label)]))
                else:
                    variant.values.append(abs(answer["value"] - label))
    return found


def compare(
    found: dict[str, Outcomes],
    control: str,
    treatment: str,
    package: Package,
    *,
    size: float,
    confidence: float = 0.95,
    split: float | None = None,
) -> Verdict:
    """Judge the treatment against the control.

    Args:
        found: Every variant's outcomes.
        control: The variant that is compared with.
        treatment: The variant in question.
        package: What one of them serves: says whether labels or numbers are predicted.
        size: The smallest difference that matters, in the metric's unit.
        confidence: Of the interval, at all times at once.
        split: The treatment's share of their traffic; where given, another share makes the comparison unfair.

    Raises:
        ModelberthError: a variant has no traffic.
    """
    absent = [name for name in (control, treatment) if name not in found]
    if absent or control == treatment:
        known = ", ".join(sorted(found)) or "none"
        raise ModelberthError(
            f"no traffic of the variant {absent[0]}: captured were {known}" if absent else f"{control} is both variants"
        )
    shares = package.signature["outputs"]["task"] == "classification"
    metric = "accuracy" if shares else "mean_absolute_error"
    first, second = (sample(found[name].values, shares=shares) for name in (control, treatment))
    problems = _unfair(found[control], found[treatment], control, treatment, split)

    def verdict(kind: str, sentence: str, measured: Effect | None = None, needed: int | None = None) -> Verdict:
        return Verdict(kind, sentence, metric, first, second, measured, needed, problems)

    if problems:
        return verdict("unfair", f"the variants cannot be compared: {'; '.join(problems)}")
    few = [f"{name} has {one.rows:,}" for name, one in ((control, first), (treatment, second)) if one.rows < MIN_ROWS]
    if few:
        return verdict("undecided", f"too few labelled rows: {', '.join(few)}, {MIN_ROWS} are needed of each")
    measured = effect(first, second, size, confidence)
    needed = rows_needed(first, second, size, confidence)
    means = f"{metric} {second.mean:.4g} against {first.mean:.4g}"
    bounds = f"{measured.difference:+.3g}, between {measured.low:+.3g} and {measured.high:+.3g}"
    certain = f"({bounds} with {confidence:.4g} confidence, whenever looked at)"
    if measured.low > 0 or measured.high < 0:
        better = (measured.low > 0) == shares
        word = "better" if better else "worse"
        return verdict(word, f"{treatment} is {word} than {control}: {means} {certain}", measured, needed)
    if -size <= measured.low and measured.high <= size:
        return verdict("equal", f"no difference that matters: {means} {certain}", measured, needed)
    return verdict(
        "undecided",
        f"undecided: {means} {certain}; about {needed:,} labelled rows of each tell a difference of {size:g}",
        measured,
        needed,
    )


def _unfair(first: Outcomes, second: Outcomes, control: str, treatment: str, split: float | None) -> list[str]:
    from scipy.stats import chi2_contingency, chisquare

    problems: list[str] = []
    total = first.rows + second.rows
    if split is not None:
        expected = [total * (1 - split), total * split]
        if float(chisquare([first.rows, second.rows], expected).pvalue) < SUSPICIOUS:
            problems.append(
                f"{treatment} got {second.rows:,} of {total:,} rows, which is not the share of {split:g} it was to get"
            )
    counts = Counter({control: len(first.values), treatment: len(second.values)})
    table = [[counts[control], first.rows - counts[control]], [counts[treatment], second.rows - counts[treatment]]]
    labelled = sum(counts.values())
    if 0 < labelled < total:
        tested: Any = chi2_contingency(table)
        if float(tested.pvalue) < SUSPICIOUS:
            shares = [
                f"{len(one.values) / one.rows:.3g} of {name}" for name, one in ((control, first), (treatment, second))
            ]
            problems.append(f"labels came for {' but '.join(shares)}: the labelled rows differ in kind")
    return problems
