"""The rules a package must pass to be deployed. The gate fails closed: what cannot be judged fails.

A data version, a card and a validation are required whatever the rules say; `require` adds to them.
"""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .errors import ModelberthError, did_you_mean
from .metrics import higher_is_better
from .package import Package

Requirement = Literal["data_version", "card", "cross_validation", "validation", "examples", "baseline"]

ALWAYS_REQUIRED: tuple[Requirement, ...] = ("data_version", "card", "validation")

CLOCK_SKEW = timedelta(minutes=5)
"""A package may be this much younger than now; beyond, its creation time is not believed."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Limit = Annotated[float, Field(allow_inf_nan=False, strict=True)]


class _Rules(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


class MetricRule(_Rules):
    """Limits of one metric, both inclusive."""

    min: Limit | None = None
    max: Limit | None = None

    @model_validator(mode="after")
    def _meaningful(self) -> "MetricRule":
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: nothing can pass")
        return self


class SegmentRule(_Rules):
    """Limits that hold in every segment of one column."""

    metrics: Annotated[dict[str, MetricRule], Field(min_length=1)]
    min_rows: Annotated[int, Field(ge=1, strict=True)] = 100
    """Segments with fewer hold-out rows are too small to judge, and are named in the report."""


class GateRules(_Rules):
    """The `gate:` part of a model's configuration."""

    metrics: dict[str, MetricRule] = {}
    """Limits of the hold-out metrics."""

    segments: dict[str, SegmentRule] = {}
    """Limits per segment, by the segment's column."""

    no_worse_than: Literal["champion"] | None = None
    """Every metric that has a limit (else every metric that the champion has) must be at least as good."""

    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] = 0.0
    """How much worse than the champion still passes, in the metric's own unit."""

    require: list[Requirement] = []
    """What the package must hold, besides data version, card and validation."""

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
    for column, rule in sorted(rules.segments.items()):
        results += _segments(package, column, rule)
    if rules.no_worse_than:
        results += _compare(metrics, rules, champion)
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
    number = _number(value)
    results: list[RuleResult] = []
    for kind, limit in (("min", limits.min), ("max", limits.max)):
        if limit is None:
            continue
        if number is None:
            passed, message = False, _unusable(label, value, metrics)
        else:
            passed = number >= limit if kind == "min" else number <= limit
            relation = "at least" if kind == "min" else "at most"
            message = f"{label} is {number:.6g}, {'and' if passed else 'but'} must be {relation} {limit:g}"
        results.append(RuleResult(f"{rule}.{kind}", value, limit, passed, message))
    return results


def _segments(package: Package, column: str, rule: SegmentRule) -> list[RuleResult]:
    segments: Any = package.validation.get("segments") or {}
    found = _object(_object(segments).get(column))
    if not found:
        message = f"the package has no segments by {column}{did_you_mean(column, segments)}"
        return [RuleResult(f"segments.{column}", None, None, False, message)]
    results: list[RuleResult] = []
    small: list[str] = []
    for segment, entry in sorted(found.items()):
        rows = _number(_object(entry).get("rows"))
        if rows is not None and rows < rule.min_rows:
            small.append(segment)
            continue
        metrics = _object(entry).get("metrics")
        for name, limits in sorted(rule.metrics.items()):
            place = f"segments.{column}.{segment}.{name}"
            label = f"{name} where {column} is {segment}"
            results += _limits(place, label, _metric(metrics, name), limits, metrics)
    if not results:
        message = f"no segment by {column} has {rule.min_rows} rows, so nothing can be judged"
        return [RuleResult(f"segments.{column}", len(small), rule.min_rows, False, message)]
    if small:
        message = f"not judged, fewer than {rule.min_rows} rows: {column} {', '.join(small)}"
        results.append(RuleResult(f"segments.{column}.min_rows", len(small), rule.min_rows, True, message))
    return results


def _compare(metrics: Any, rules: GateRules, champion: Package | None) -> list[RuleResult]:
    rule = "no_worse_than.champion"
    if champion is None:
        return [RuleResult(rule, None, None, True, "there is no champion yet to compare with")]
    theirs: Any = champion.validation.get("metrics") or {}
    names = sorted(rules.metrics) or sorted(name for name in theirs if higher_is_better(name) is not None)
    if not names:
        message = "the champion has no metric whose better direction is known; name one under metrics"
        return [RuleResult(rule, None, None, False, message)]
    return [_no_worse(name, metrics, theirs, rules) for name in names]


def _no_worse(name: str, metrics: Any, theirs: Any, rules: GateRules) -> RuleResult:
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
    passed = ours >= best - rules.tolerance if better else ours <= best + rules.tolerance
    allowance = f" (tolerance {rules.tolerance:g})" if rules.tolerance else ""
    relation = "no worse than" if passed else "worse than"
    message = f"{name} is {ours:.6g}, {relation} the champion's {best:.6g}{allowance}"
    return RuleResult(rule, value, limit, passed, message)


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
        known = GateRules.model_fields if len(path) == 1 else ("min", "max", "metrics", "min_rows")
        return f'{where}: unknown key "{".".join(path)}"{did_you_mean(path[-1], known)}'
    value = "" if isinstance(item["input"], dict | list) else f", is {item['input']!r}"
    return f"{where}: {'.'.join(path) or 'rules'}: {item['msg'].removeprefix('Value error, ')}{value}"
