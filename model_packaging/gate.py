"""The rules a package must pass to be deployed. The gate fails closed: what cannot be judged fails.

A data version, a card and a validation are required whatever the rules say; `require` adds to them.
"""

import math
import re
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .errors import ModelberthError, did_you_mean
from .metrics import higher_is_better
from .package import Package

if TYPE_CHECKING:
    from .validation.comparison import Pair

Requirement = Literal["data_version", "card", "cross_validation", "validation", "examples", "baseline"]

ALWAYS_REQUIRED: tuple[Requirement, ...] = ("data_version", "card", "validation")

CLOCK_SKEW = timedelta(minutes=5)
"""A package may be this much younger than now; beyond, its creation time is not believed."""

ROUNDING = 1e-9
"""Metrics are rounded to ten digits, so two that are equal may differ by this."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Limit = Annotated[float, Field(allow_inf_nan=False, strict=True)]


class _Rules(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


class MetricRule(_Rules):
    """Limits of one metric, both inclusive."""

    min: Limit | None = None
    max: Limit | None = None

    confident: Annotated[bool, Field(strict=True)] = False
    """Whether the whole interval of the metric must keep the limits, not only its value."""

    @model_validator(mode="after")
    def _meaningful(self) -> "MetricRule":
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: nothing can pass")
        return self


class SegmentRule(_Rules):
    """Limits that hold in every segment of one column, so in its worst one too."""

    metrics: dict[str, MetricRule] = {}

    gap: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]] = {}
    """How much worse than the whole hold-out the worst segment may be, by metric."""

    min_rows: Annotated[int, Field(ge=1, strict=True)] = 100
    """Segments with fewer hold-out rows are too small to judge, and are named in the report."""

    @model_validator(mode="after")
    def _meaningful(self) -> "SegmentRule":
        if not self.metrics and not self.gap:
            raise ValueError("give metrics, gap or both")
        unknown = sorted(name for name in self.gap if higher_is_better(name) is None)
        if unknown:
            raise ValueError(f"gap: whether more {unknown[0]} is better is not known")
        return self


class FoldRule(_Rules):
    """Limits of one metric over the folds of cross-validation, or of a backtest."""

    min: Limit | None = None
    """The least that every fold must have."""

    max: Limit | None = None
    """The most that any fold may have."""

    max_std: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] | None = None
    """The largest standard deviation between the folds that passes."""

    @model_validator(mode="after")
    def _meaningful(self) -> "FoldRule":
        if self.min is None and self.max is None and self.max_std is None:
            raise ValueError("give min, max, max_std or several")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: nothing can pass")
        return self


class LeakageRule(_Rules):
    """What the hold-out may know: never the target from one column, nor, where it is temporal, the past."""

    duplicates: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)] = 0.0
    """The largest share of hold-out rows with the same inputs as a training row that passes."""


class GateRules(_Rules):
    """The `gate:` part of a model's configuration."""

    metrics: dict[str, MetricRule] = {}
    """Limits of the hold-out metrics."""

    segments: dict[str, SegmentRule] = {}
    """Limits per segment, by the segment's column."""

    cross_validation: dict[str, FoldRule] = {}
    """Limits of the metrics of the folds."""

    leakage: LeakageRule | None = None
    """What the checks for leakage must have found; without it they are not judged."""

    no_worse_than: Literal["champion"] | None = None
    """Every metric that has a limit (else every metric that the champion has) must be shown to be no worse."""

    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] = 0.0
    """How much worse than the champion still passes, in the metric's own unit."""

    comparison: Literal["paired", "point"] = "paired"
    """paired: by predictions for the same rows, with their uncertainty. point: by the two values that the packages
    state, whatever rows they are of and however uncertain they are."""

    confidence: Annotated[float, Field(gt=0.5, lt=1, allow_inf_nan=False, strict=True)] = 0.95
    """How sure a paired comparison must be that the candidate is not worse by more than the tolerance, one-sided."""

    require: list[Requirement] = []
    """What the package must hold, besides data version, card and validation."""

    signed_by: Annotated[list[str], Field(min_length=1)] | None = None
    """The signers of whom one must have signed the package: paths of public keys or certificates in PEM, or their
    text."""

    max_age: timedelta | None = None
    """The oldest `created` in the manifest that passes, such as 30d; without `created` it fails."""

    @field_validator("max_age", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> Any:
        if value is None or isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d{1,6})([smhdw])", value) if isinstance(value, str) else None
        if not match or int(match[1]) == 0:
            raise ValueError("must be a number and a unit: s, m, h, d or w, such as 30d")
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


@dataclass(frozen=True)
class RuleResult:
    """One rule's verdict; `message` is a sentence for people."""

    rule: str
    value: Any
    limit: Any
    passed: bool
    message: str


@dataclass(frozen=True)
class GateReport:
    """The verdict on one package: passed only if every rule did."""

    package: str
    digest: str
    results: list[RuleResult]

    @property
    def passed(self) -> bool:
        return bool(self.results) and all(result.passed for result in self.results)

    @property
    def failures(self) -> list[RuleResult]:
        return [result for result in self.results if not result.passed]

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON holds it."""
        results = [vars(result) for result in self.results]
        return {"package": self.package, "digest": self.digest, "passed": self.passed, "results": results}


class GateRefused(ModelberthError):
    """A package that the gate refuses; each problem is one failed rule."""


def evaluate(package: Package, rules: GateRules | None = None, champion: Package | None = None) -> GateReport:
    """Judge a package. `champion` is what the endpoint serves now; None when it serves nothing yet."""
    rules = rules or GateRules()
    required: list[Requirement] = [*ALWAYS_REQUIRED, *(item for item in rules.require if item not in ALWAYS_REQUIRED)]
    results = [_required(package, item) for item in required]
    metrics: Any = package.validation.get("metrics")
    for name, rule in sorted(rules.metrics.items()):
        results += _limits(f"metrics.{name}", name, _metric(metrics, name), rule, metrics)
    for name, rule in sorted(rules.cross_validation.items()):
        results += _folds(package, name, rule)
    for column, rule in sorted(rules.segments.items()):
        results += _segments(package, column, rule)
    if rules.no_worse_than:
        results += _compare(package, rules, champion)
    if rules.leakage:
        results += _leakage(package, rules.leakage)
    if rules.signed_by:
        results.append(_signed(package, rules.signed_by))
    if rules.max_age:
        results.append(_age(package, rules.max_age))
    return GateReport(package.name, package.digest, results)


def enforce(package: Package, rules: GateRules | None = None, champion: Package | None = None) -> GateReport:
    """Like `evaluate`, and raise GateRefused with every failed rule."""
    report = evaluate(package, rules, champion)
    if not report.passed:
        raise GateRefused(*(f"{package.name}: refused by the gate: {item.message}" for item in report.failures))
    return report


def _required(package: Package, item: Requirement) -> RuleResult:
    present, wanted = _present(package, item)
    message = f"has {wanted}" if present else f"has no {wanted}, which is required"
    return RuleResult(f"require.{item}", present, True, present, message)


def _present(package: Package, item: Requirement) -> tuple[bool, str]:
    if item == "data_version":
        return bool(package.data.get("digest")), "data version (data.json)"
    if item == "card":
        return package.files.get("card.md", {}).get("bytes", 0) > 0, "card (card.md)"
    if item == "validation":
        return bool(package.validation.get("metrics")), "validation with metrics (validation.json)"
    if item == "cross_validation":
        found: Any = package.validation.get("cross_validation") or {}
        folds = found.get("folds")
        whole = isinstance(folds, int) and folds >= 2 and bool(found.get("metrics"))
        return whole, "cross-validation of two folds or more (validation.json)"
    if item == "baseline":
        return bool(package.baseline.get("features")), "baseline (baseline.json)"
    return bool(package.examples.get("inputs")), "examples (examples.json)"


def _object(value: Any) -> dict[str, Any]:
    """The value if it is an object; else an empty one, in which every metric is missing."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _metric(metrics: Any, name: str) -> Any:
    """The metric's value as it stands, whatever its type; None when it is not there."""
    entry = _object(metrics).get(name)
    return _object(entry).get("value") if isinstance(entry, dict) else entry


def _number(value: Any) -> float | None:
    """A finite number, or None: booleans, texts, NaN and infinity are not values of a metric."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _unusable(name: str, value: Any, metrics: Any) -> str:
    if value is not None:
        return f"{name} is {str(value)[:40]!r}, which is not a finite number"
    known = sorted(_object(metrics))
    listed = f"it has {', '.join(known)}" if known else "it has none"
    return f"the package has no metric {name}{did_you_mean(name, known)}; {listed}"


def _limits(rule: str, label: str, value: Any, limits: MetricRule, metrics: Any) -> list[RuleResult]:
    stated = _number(value)
    results: list[RuleResult] = []
    name = label
    for kind, limit in (("min", limits.min), ("max", limits.max)):
        if limit is None:
            continue
        number = stated
        if limits.confident and stated is not None:
            value = number = _end(_object(metrics).get(name), 0 if kind == "min" else 1)
            label = f"the {'lower' if kind == 'min' else 'upper'} end of {name}'s interval"
            if number is None:
                message = f"{name} has no interval, which the limit is to hold for (validate with bootstrap)"
                results.append(RuleResult(f"{rule}.{kind}", None, limit, False, message))
                continue
        if number is None:
            passed, message = False, _unusable(label, value, metrics)
        else:
            passed = number >= limit if kind == "min" else number <= limit
            relation = "at least" if kind == "min" else "at most"
            message = f"{label} is {number:.6g}, {'and' if passed else 'but'} must be {relation} {limit:g}"
        results.append(RuleResult(f"{rule}.{kind}", value, limit, passed, message))
    return results


def _end(entry: Any, end: int) -> float | None:
    """One end of a metric's interval; None where there is none."""
    interval: Any = _object(entry).get("interval")
    if not isinstance(interval, list):
        return None
    ends = [_number(one) for one in cast("list[Any]", interval)]
    return ends[end] if len(ends) == 2 and None not in ends else None


def _folds(package: Package, name: str, rule: FoldRule) -> list[RuleResult]:
    found = _object(package.validation.get("cross_validation"))
    metrics = _object(found.get("metrics"))
    given: Any = _object(metrics.get(name)).get("folds")
    values = [_number(value) for value in cast("list[Any]", given)] if isinstance(given, list) else []
    known = [value for value in values if value is not None]
    place = f"cross_validation.{name}"
    if len(known) < 2 or len(known) != len(values):
        message = f"cross-validation has no {name} of two folds or more{did_you_mean(name, metrics)}"
        return [RuleResult(place, None, None, False, message)]
    spread = statistics.pstdev(known)
    results: list[RuleResult] = []
    for kind, value, limit, what in (
        ("min", min(known), rule.min, "in the fold where it is least"),
        ("max", max(known), rule.max, "in the fold where it is most"),
        ("max_std", spread, rule.max_std, "from fold to fold, as standard deviation"),
    ):
        if limit is not None:
            passed = value >= limit if kind == "min" else value <= limit
            relation = "at least" if kind == "min" else "at most"
            message = f"{name} is {value:.6g} {what}, {'and' if passed else 'but'} must be {relation} {limit:g}"
            results.append(RuleResult(f"{place}.{kind}", value, limit, passed, message))
    return results


def _leakage(package: Package, rule: LeakageRule) -> list[RuleResult]:
    found = _object(package.validation.get("leakage"))
    if not found:
        message = "the validation has no checks for leakage (validate() makes them)"
        return [RuleResult("leakage", None, None, False, message)]
    ratio = _number(_object(found.get("duplicates")).get("ratio"))
    passed = ratio is not None and 0 <= ratio <= rule.duplicates
    shown = "an unknown share" if ratio is None else f"{ratio:.4g}"
    message = f"{shown} of the hold-out rows are training rows too, at most {rule.duplicates:g} may be"
    results = [RuleResult("leakage.duplicates", ratio, rule.duplicates, passed, message)]
    telling: Any = found.get("target")
    columns = sorted(cast("dict[str, Any]", telling)) if isinstance(telling, dict) else None
    message = "no column tells the target by itself"
    if columns is None or columns:
        message = f"the target may stand in {', '.join(columns)}" if columns else "the inputs were not checked"
    results.append(RuleResult("leakage.target", columns, [], columns == [], message))
    if _object(package.validation.get("holdout")).get("kind") == "temporal" or found.get("time") is not None:
        rows = _number(_object(found.get("time")).get("rows"))
        message = "the hold-out comes after the training rows"
        if rows is None:
            message = "whether the hold-out comes after the training rows was not checked (give times to validate)"
        elif rows:
            message = f"{rows:,.0f} hold-out rows do not come after the training rows"
        results.append(RuleResult("leakage.time", rows, 0, rows == 0, message))
    return results


def _segments(package: Package, column: str, rule: SegmentRule) -> list[RuleResult]:
    segments: Any = package.validation.get("segments") or {}
    found = _object(_object(segments).get(column))
    if not found:
        message = f"the package has no segments by {column}{did_you_mean(column, segments)}"
        return [RuleResult(f"segments.{column}", None, None, False, message)]
    results: list[RuleResult] = []
    small: list[str] = []
    judged: dict[str, Any] = {}
    for segment, entry in sorted(found.items()):
        rows = _number(_object(entry).get("rows"))
        if rows is not None and rows < rule.min_rows:
            small.append(segment)
            continue
        metrics = judged[segment] = _object(entry).get("metrics")
        for name, limits in sorted(rule.metrics.items()):
            place = f"segments.{column}.{segment}.{name}"
            label = f"{name} where {column} is {segment}"
            results += _limits(place, label, _metric(metrics, name), limits, metrics)
    if judged:
        results += [_gap(package, column, name, limit, judged) for name, limit in sorted(rule.gap.items())]
    if not results:
        message = f"no segment by {column} has {rule.min_rows} rows, so nothing can be judged"
        return [RuleResult(f"segments.{column}", len(small), rule.min_rows, False, message)]
    if small:
        message = f"not judged, fewer than {rule.min_rows} rows: {column} {', '.join(small)}"
        results.append(RuleResult(f"segments.{column}.min_rows", len(small), rule.min_rows, True, message))
    return results


def _gap(package: Package, column: str, name: str, limit: float, judged: dict[str, Any]) -> RuleResult:
    """The worst segment against the whole hold-out; a segment without the metric is the worst of all."""
    rule = f"segments.{column}.gap.{name}"
    whole = _number(_metric(package.validation.get("metrics"), name))
    if whole is None:
        return RuleResult(rule, None, limit, False, _unusable(name, None, package.validation.get("metrics")))
    sign = 1 if higher_is_better(name) else -1
    gaps: dict[str, float] = {}
    for segment, metrics in judged.items():
        value = _number(_metric(metrics, name))
        if value is None:
            message = f"{name} where {column} is {segment} is not there to be compared with all rows"
            return RuleResult(rule, None, limit, False, message)
        gaps[segment] = sign * (whole - value)
    worst = max(gaps, key=lambda segment: gaps[segment])
    passed = gaps[worst] <= limit
    message = (
        f"{name} is worst where {column} is {worst}, {gaps[worst]:.6g} worse than on all rows, "
        f"{'and' if passed else 'but'} may be at most {limit:g}"
    )
    return RuleResult(rule, gaps[worst], limit, passed, message)


def _compare(package: Package, rules: GateRules, champion: Package | None) -> list[RuleResult]:
    rule = "no_worse_than.champion"
    if champion is None:
        return [RuleResult(rule, None, None, True, "there is no champion yet to compare with")]
    paired = rules.comparison == "paired"
    if paired and champion.digest == package.digest and champion.documents == package.documents:
        return [RuleResult(rule, None, None, True, "it is the champion")]
    metrics: Any = package.validation.get("metrics")
    theirs: Any = champion.validation.get("metrics") or {}
    names = sorted(rules.metrics) or sorted(name for name in theirs if higher_is_better(name) is not None)
    if not names:
        message = "the champion has no metric whose better direction is known; name one under metrics"
        return [RuleResult(rule, None, None, False, message)]
    both: Pair | None = None
    if paired:
        from .validation.comparison import pair

        try:
            both = pair(package, champion)
        except ModelberthError as error:
            return [RuleResult(rule, None, None, False, f"cannot be compared with the champion: {error}")]
    return [_no_worse(name, metrics, theirs, rules, package, champion, both) for name in names]


def _no_worse(
    name: str,
    metrics: Any,
    theirs: Any,
    rules: GateRules,
    package: Package,
    champion: Package,
    both: "Pair | None",
) -> RuleResult:
    rule = f"no_worse_than.champion.{name}"
    value, limit = _metric(metrics, name), _metric(theirs, name)
    ours, best = _number(value), _number(limit)
    if ours is None:
        return RuleResult(rule, value, limit, False, _unusable(name, value, metrics))
    if best is None:
        return RuleResult(rule, value, limit, False, f"the champion: {_unusable(name, limit, theirs)}")
    better = higher_is_better(name)
    limits = rules.metrics.get(name)
    if better is None and limits and (limits.min is None) != (limits.max is None):
        better = limits.min is not None
    if better is None:
        message = f"whether more {name} is better is not known: give it either min or max under metrics"
        return RuleResult(rule, value, limit, False, message)
    if both is not None:
        return _paired(name, better, rules, package, champion, both)
    passed = ours >= best - rules.tolerance if better else ours <= best + rules.tolerance
    allowance = f" (tolerance {rules.tolerance:g})" if rules.tolerance else ""
    relation = "no worse than" if passed else "worse than"
    message = f"{name} is {ours:.6g}, {relation} the champion's {best:.6g}{allowance}"
    return RuleResult(rule, value, limit, passed, message)


def _paired(name: str, better: bool, rules: GateRules, package: Package, champion: Package, both: "Pair") -> RuleResult:
    from .validation.comparison import difference, misstated

    rule = f"no_worse_than.champion.{name}"
    stated = [_number(_metric(one.validation.get("metrics"), name)) for one in (package, champion)]
    try:
        for label, one in (("the package", package), ("the champion", champion)):
            if reason := misstated(one, name):
                message = f"{name} is {stated[0]:.6g}, not shown to be no worse than the champion's: {label}: {reason}"
                return RuleResult(rule, stated[0], stated[1], False, message)
        found = difference(both, name, better, rules.confidence)
    except ModelberthError as error:
        message = f"{name} is {stated[0]:.6g}, not shown to be no worse than the champion's: {error}"
        return RuleResult(rule, stated[0], stated[1], False, message)
    except ModuleNotFoundError as error:
        message = f'{name} cannot be compared without {error.name} (pip install "modelberth[serve]")'
        return RuleResult(rule, stated[0], stated[1], False, message)
    passed = found.at_most <= rules.tolerance + ROUNDING
    certain = f"at least {-found.at_most:.3g} better" if found.at_most < 0 else f"at most {found.at_most:.3g} worse"
    message = (
        f"{name} is {found.candidate:.6g}, {'' if passed else 'not shown to be '}no worse than the champion's "
        f"{found.champion:.6g}: {certain} with {found.confidence:.4g} confidence on {found.rows:,} {found.per} that "
        f"both predicted, the tolerance is {rules.tolerance:g}"
    )
    if not passed and found.worse_by <= rules.tolerance:
        message += " (more hold-out rows or a larger tolerance could show it)"
    return RuleResult(rule, found.candidate, found.champion, passed, message)


def _signed(package: Package, signers: list[str]) -> RuleResult:
    from .signing import verify_signature

    try:
        signer = verify_signature(package, signers)
    except ModelberthError as error:
        return RuleResult("signed_by", None, signers, False, f"not signed by a trusted signer: {error}")
    return RuleResult("signed_by", signer, signers, True, f"signed by {signer}")


def _age(package: Package, limit: timedelta) -> RuleResult:
    created = package.manifest.get("created")
    try:
        moment = datetime.fromisoformat(created or "")
    except ValueError:
        message = "the manifest says not when the package was created, so its age is unknown (pack it with created)"
        return RuleResult("max_age", created, str(limit), False, message)
    age = datetime.now(UTC) - moment
    if age < -CLOCK_SKEW:
        return RuleResult("max_age", created, str(limit), False, f"created {created} lies in the future")
    passed = age <= limit
    message = f"created {created}, {age.days} days ago, {'within' if passed else 'beyond'} {limit}"
    return RuleResult("max_age", created, str(limit), passed, message)


def parse_rules(document: Any, where: str = "gate") -> GateRules:
    """Rules from a parsed document. Raises ModelberthError with every problem, the key and the value."""
    from pydantic import ValidationError

    try:
        return GateRules.model_validate(document)
    except ValidationError as error:
        raise ModelberthError(*(_rule_problem(where, item) for item in error.errors())) from None


def _rule_problem(where: str, item: Any) -> str:
    path = [str(part) for part in item["loc"]]
    if item["type"] == "extra_forbidden":
        known = (
            GateRules.model_fields
            if len(path) == 1
            else tuple(
                dict.fromkeys(
                    [
                        *MetricRule.model_fields,
                        *SegmentRule.model_fields,
                        *FoldRule.model_fields,
                        *LeakageRule.model_fields,
                    ]
                )
            )
        )
        return f'{where}: unknown key "{".".join(path)}"{did_you_mean(path[-1], known)}'
    value = "" if isinstance(item["input"], dict | list) else f", is {item['input']!r}"
    return f"{where}: {'.'.join(path) or 'rules'}: {item['msg'].removeprefix('Value error, ')}{value}"
