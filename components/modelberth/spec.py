"""What can be asked for: the same classes for a stack's configuration and for Python programs.

Every class refuses unknown keys. A key that bears a platform's name, such as `endpoint.sagemaker`, holds what only
that platform has; the platform itself checks it.
"""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    Strict,
    field_validator,
    model_validator,
)

from model_packaging.gate import GateRules
from model_packaging.package import Package

from .errors import at_key, at_keys, choices, did_you_mean
from .quantities import Duration, Ratio, Size, TextInput, parse_duration
from .registry import CAPABILITIES, PLATFORMS, Capability
from .schedules import check_schedule, check_timezone
from .vocabulary import ALARMS

PRIMARY = "primary"
"""The variant that serves the model's own package."""


def _check_platform(name: str) -> str:
    if not name:
        raise ValueError(f"names no platform: choose {choices(PLATFORMS)}")
    if name not in PLATFORMS:
        raise ValueError(f"is no platform: choose {choices(PLATFORMS)}{did_you_mean(name, PLATFORMS)}")
    return name


def _check_package(value: Any) -> Any:
    if isinstance(value, Package | Path) or (isinstance(value, str) and value):
        return value
    raise ValueError("is no package: write a path, or an address with @sha256:…")


PlatformName = Annotated[str, AfterValidator(_check_platform)]
PackageInput = Annotated[str | Path | Package, PlainValidator(_check_package)]
"""A package: a path, an address with @sha256:…, or one that is opened already."""
Count = Annotated[int, Strict()]
"""A whole number, and no text or truth value that could be read as one."""


class Spec(BaseModel):
    """A part of a specification. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, validate_default=False)


class PlatformSpec(Spec):
    """A part that platforms extend: `options` holds, by platform, what was written under the platform's own name."""

    options: dict[str, dict[str, Any]] = Field(default_factory=dict, exclude=True)

    @classmethod
    def extra_keys(cls) -> set[str]:
        """The keys that are allowed beyond the fields."""
        return set(PLATFORMS)

    @model_validator(mode="before")
    @classmethod
    def _gather_platform_options(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        values: dict[str, Any] = dict(data)  # pyright: ignore[reportUnknownArgumentType]
        options = {name: values.pop(name) for name in list(values) if name in PLATFORMS}
        for name, value in options.items():
            if not isinstance(value, dict):
                raise at_key(name, "must hold keys of the platform's own")
        return values | {"options": values.get("options", {}) | options} if options else values


class ComputeSpec(Spec):
    """What one replica needs; the smallest machine of the platform that has it is taken."""

    cpu: Annotated[float, Strict()] = Field(default=1, gt=0)
    memory: Size = 2 * 1024**3


class ScaleSpec(Spec):
    """How many replicas run. With `max` above `min` their number follows the load; with a `min` of 0 down to none."""

    min: Count = Field(default=1, ge=0)
    max: Count | None = Field(default=None, ge=1)
    requests_per_replica: Count = Field(default=1000, ge=1)
    """The requests a minute that one replica should get, by which the number of replicas is chosen."""

    @property
    def autoscaled(self) -> bool:
        """Whether the number of replicas follows the load."""
        return self.max is not None and self.max > self.min

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.min == 0 and self.max is None:
            raise at_key("max", "is missing: with min: 0 the number of replicas follows the load; write at least 1")
        if self.max is not None and self.max < self.min:
            raise at_key("max", f"{self.max} is less than min, which is {self.min}")
        return self


class RolloutSpec(Spec):
    """How an update reaches the traffic: first a canary's share of it, and all of it after the bake time.

    The model's alarms are watched all the while; one that fires brings the previous package back.
    """

    canary: Ratio | None = None
    """The share of replicas that the new package gets first. All traffic shifts in one step if left out."""
    bake: Duration = timedelta(minutes=5)
    """How long the alarms are watched after each step."""

    @field_validator("canary")
    @classmethod
    def _check_canary(cls, value: float | None) -> float | None:
        if value is not None and not 0.01 <= value <= 0.5:
            raise ValueError("is out of range: a canary gets 1% to 50% of the replicas")
        return value


class CaptureSpec(Spec):
    """Which share of requests and answers is kept for the monitor job."""

    sample: Ratio = 1.0


class VariantSpec(Spec):
    """One of several packages that share an endpoint's traffic."""

    package: PackageInput | None = None
    """Left out for the model's own package, in the variant `primary`."""
    weight: Count = Field(ge=0, le=100)
    """Its share of the traffic, in percent."""


class EndpointSpec(PlatformSpec):
    """A live model behind one stable address."""

    compute: ComputeSpec = Field(default_factory=ComputeSpec)
    scale: ScaleSpec = Field(default_factory=ScaleSpec)
    rollout: RolloutSpec = Field(default_factory=RolloutSpec)
    capture: CaptureSpec | None = None
    """Requests and answers are not kept unless this is given."""
    shadow: PackageInput | None = None
    """A package that gets a copy of each request and whose answers nobody sees."""
    variants: dict[str, VariantSpec] = Field(default_factory=dict[str, VariantSpec])
    """Packages that share the traffic, by name; `primary` is the model's own. Their weights sum to 100."""

    @field_validator("variants")
    @classmethod
    def _check_variants(cls, value: dict[str, VariantSpec]) -> dict[str, VariantSpec]:
        if not value:
            return value
        problems = [f"{name}: {problem}" for name in value if (problem := check_name(name))]
        for name, variant in value.items():
            if name == PRIMARY and variant.package is not None:
                problems.append(f"{name}.package: {name} serves the model's own package; leave this out")
            if name != PRIMARY and variant.package in (None, "none"):
                problems.append(f"{name}.package: is missing: write a path, or an address with @sha256:…")
        if problems:
            raise at_keys(problems)
        if PRIMARY not in value:
            raise ValueError(f"must have {PRIMARY}, the model's own package, with its weight")
        total = sum(variant.weight for variant in value.values())
        if total != 100:
            written = " + ".join(str(variant.weight) for variant in value.values())
            raise ValueError(f"the weights are percentages and must sum to 100, but {written} is {total}")
        return value

    @model_validator(mode="after")
    def _check_shadow(self) -> Self:
        if self.variants and self.shadow is not None:
            raise at_key(
                "shadow", "can't be combined with variants: a shadow needs one package that serves all traffic"
            )
        return self


class AlarmRule(Spec):
    """When one alarm fires: its value lies beyond the threshold for `periods` periods in a row."""

    threshold: float
    period: timedelta
    periods: int = Field(ge=1)


class MonitorSpec(PlatformSpec):
    """How often captured traffic is compared with the training data."""

    schedule: Annotated[str, AfterValidator(check_schedule)] = "0 * * * *"
    window: Duration = timedelta(hours=24)
    """How far back each comparison looks."""
    label_delay: Duration = timedelta(days=7)
    """How long after its prediction a label may come. Labels are looked for where an alarm needs them."""


def _parse_rules(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    rules: dict[str, AlarmRule] = {}
    problems: list[str] = []
    for name, rule in cast(dict[str, Any], value).items():
        try:
            rules[name] = rule if isinstance(rule, AlarmRule) and name in ALARMS else _parse_rule(name, rule)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise at_keys(problems, beside=True)
    return rules


def _parse_rule(name: str, value: Any) -> AlarmRule:
    kind = ALARMS.get(name)
    if kind is None:
        known = [*ALARMS, *AlarmsSpec.model_fields]
        raise at_key(name, f"unknown alarm{did_you_mean(name, known)}; the alarms are {', '.join(sorted(ALARMS))}")
    if not isinstance(value, dict):
        raise at_key(name, f"{value!r} must be {{{kind.side}: …}}")
    fields: dict[str, Any] = dict(value)  # pyright: ignore[reportUnknownArgumentType]
    unknown = fields.keys() - {"above", "below", "period", "periods"}
    if unknown:
        first = sorted(unknown)[0]
        allowed = [kind.side, "period", "periods"]
        raise at_key(
            f"{name}.{first}", f"unknown key{did_you_mean(first, allowed)}; allowed here: {', '.join(allowed)}"
        )
    if kind.side not in fields or len(fields.keys() & {"above", "below"}) != 1:
        raise at_key(name, f"needs {kind.side}: the trouble with {kind.description} lies {kind.side} the threshold")
    try:
        threshold = kind.parse(fields[kind.side])
    except ValueError as error:
        raise at_key(f"{name}.{kind.side}", f"{fields[kind.side]!r} {error}") from error
    try:
        period = parse_duration(fields.get("period", kind.period))
    except ValueError as error:
        raise at_key(f"{name}.period", f"{fields['period']!r} {error}") from error
    periods = fields.get("periods", kind.periods)
    if isinstance(periods, bool) or not isinstance(periods, int) or periods < 1:
        raise at_key(f"{name}.periods", f"{periods!r} must be a whole number of at least 1")
    if period < timedelta(minutes=1) or period.total_seconds() % 60:
        raise at_key(f"{name}.period", f"{fields['period']!r} must be a whole number of minutes")
    return AlarmRule(threshold=threshold, period=period, periods=periods)


class AlarmsSpec(PlatformSpec):
    """The alarms by name, whom they tell, and the monitor job that measures drift and data quality."""

    rules: Annotated[dict[str, AlarmRule], BeforeValidator(_parse_rules)] = Field(
        default_factory=dict[str, AlarmRule], exclude=True
    )
    """By the alarm's name. In a configuration the names stand beside `notify` and `monitor`."""
    notify: list[TextInput] = Field(default_factory=list[TextInput])
    """Who is told: `mailto:…` or `https://…` addresses."""
    monitor: MonitorSpec = Field(default_factory=MonitorSpec)

    @classmethod
    def extra_keys(cls) -> set[str]:
        """The keys that are allowed beyond the fields."""
        return set(PLATFORMS) | set(ALARMS)

    @model_validator(mode="before")
    @classmethod
    def _gather_rules(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        values: dict[str, Any] = dict(data)  # pyright: ignore[reportUnknownArgumentType]
        known = cls.model_fields.keys() | PLATFORMS.keys()
        named = {name: values.pop(name) for name in list(values) if name not in known}
        rules: Any = values.get("rules") or {}
        return values | {"rules": cast(dict[str, Any], rules) | named if isinstance(rules, dict) else rules}

    @field_validator("notify")
    @classmethod
    def _check_notify(cls, value: list[Any]) -> list[Any]:
        wrong = [
            f"{number}: {address!r} can't be told: write mailto:name@example.org or https://…"
            for number, address in enumerate(value)
            if isinstance(address, str) and not re.fullmatch(r"mailto:[^@\s]+@[^@\s]+|https?://\S+", address)
        ]
        if wrong:
            raise at_keys(wrong)
        return value

    @property
    def watches_traffic(self) -> bool:
        """Whether an alarm needs the monitor job."""
        return any(ALARMS[name].source == "monitor" for name in self.rules)

    @property
    def needs_labels(self) -> bool:
        """Whether an alarm is about how good the predictions are, by the labels that arrive."""
        return any(ALARMS[name].needs_labels for name in self.rules)


class RetrainingSpec(PlatformSpec):
    """When and how the model is trained again. A candidate that passes the gate is published, never deployed."""

    schedule: Annotated[str, AfterValidator(check_schedule)]
    timezone: Annotated[str, AfterValidator(check_timezone)] = "UTC"
    flexible_window: Duration = timedelta(0)
    """How much later than the schedule says a run may start."""
    on: list[Literal["drift"]] = Field(default_factory=list[Literal["drift"]])
    """What else starts a run: `drift`, when the drift alarm fires."""
    entrypoint: str
    """The training script, a path below `source`. It is run with --data DIR --output DIR and leaves a package."""
    source: Path
    """The folder that holds the script and what it imports."""
    data: Path | None = None
    """The training data: a folder or a file, kept in the bucket by content."""
    image: TextInput | None = None
    """The container image that the script runs in; the stack's own image if left out."""
    parameters: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Handed to the script as --parameters, in JSON."""
    compute: ComputeSpec = Field(default_factory=lambda: ComputeSpec(cpu=2, memory=8 * 1024**3))
    timeout: Duration = timedelta(hours=4)
    """A run that takes longer is stopped."""

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        problems = [
            f"{key}: {str(path)!r} does not exist; a path is relative to the project's folder"
            for key, path in (("source", self.source), ("data", self.data))
            if path is not None and not path.exists()
        ]
        if self.source.exists() and not (self.source / self.entrypoint).is_file():
            problems.append(f"entrypoint: {self.entrypoint!r} is no file in {str(self.source)!r}")
        if problems:
            raise at_keys(problems)
        return self


class BucketSpec(PlatformSpec):
    """Where packages, captured traffic and reports are kept: versioned, encrypted, private."""

    keep_noncurrent: Duration = timedelta(days=90)
    """How long a replaced or deleted object can still be brought back."""


class Placement(Spec):
    """Which platform serves which capability; the stack's platform where nothing is said."""

    endpoint: PlatformName | None = None
    bucket: PlatformName | None = None
    alarms: PlatformName | None = None
    retraining: PlatformName | None = None

    def of(self, capability: Capability, default: str) -> str:
        """Return the platform that serves `capability`."""
        return getattr(self, capability) or default


NAME = r"(?=.{2,40}$)[a-z][a-z0-9]*(-[a-z0-9]+)*"


class ModelSpec(PlatformSpec):
    """All that is wanted for one model. A platform's own key holds what its capabilities share there."""

    NO_PACKAGE: ClassVar[str] = "none"

    package: PackageInput
    """The package to serve: a path, an address with @sha256:…, or an opened one. With `none` the endpoint waits."""
    place: Placement = Field(default_factory=Placement)
    endpoint: EndpointSpec = Field(default_factory=EndpointSpec)
    bucket: BucketSpec = Field(default_factory=BucketSpec)
    alarms: AlarmsSpec = Field(default_factory=AlarmsSpec)
    retraining: RetrainingSpec | None = None
    gate: GateRules = Field(default_factory=GateRules)
    champion: PackageInput | None = None
    """The package that `gate.no_worse_than` compares with, usually the one that is replaced; `none` for the first."""
    encryption_key: TextInput | None = None
    """The customer's key that encrypts what is kept; the platform's own if left out."""

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        problems: list[str] = []
        if self.gate.no_worse_than is not None and self.champion is None:
            problems.append(
                "champion: is missing: gate.no_worse_than compares with it; write a path, an address, or none for the "
                "first"
            )
        if self.retraining and "drift" in self.retraining.on and "drift.psi" not in self.alarms.rules:
            problems.append(
                "retraining.on: drift starts a run when the alarm drift.psi fires, but alarms has no drift.psi"
            )
        if self.alarms.watches_traffic and self.endpoint.capture is None:
            names = sorted(name for name in self.alarms.rules if ALARMS[name].source == "monitor")
            problems.append(f"endpoint.capture: is missing: the alarms {', '.join(names)} compare captured traffic")
        if problems:
            raise at_keys(problems)
        return self


def check_name(name: str) -> str | None:
    """Return what is wrong with a model's name, or nothing."""
    if re.fullmatch(NAME, name):
        return None
    return f"{name!r} is no name: use 2 to 40 lower-case letters, digits and single hyphens, beginning with a letter"


class StackSpec(Spec):
    """A stack's configuration: everything under `modelberth:`."""

    platform: PlatformName = Field(default="", validate_default=True)
    """Serves each capability for which a model names no other."""
    models: dict[str, ModelSpec]
    image: TextInput | None = None
    """The container image that serves, trains and monitors. Without one the stack makes a registry for it."""
    development: bool = False
    """Whether everything may be thrown away: nothing is protected and a bucket is emptied before it is deleted."""
    tags: dict[str, str] = Field(default_factory=dict[str, str])

    @field_validator("models")
    @classmethod
    def _check_names(cls, value: dict[str, ModelSpec]) -> dict[str, ModelSpec]:
        problems = [f"{name}: {problem}" for name in value if (problem := check_name(name))]
        if problems:
            raise at_keys(problems)
        return value


__all__ = [
    "CAPABILITIES",
    "NAME",
    "PRIMARY",
    "AlarmRule",
    "AlarmsSpec",
    "BucketSpec",
    "CaptureSpec",
    "ComputeSpec",
    "EndpointSpec",
    "GateRules",
    "ModelSpec",
    "MonitorSpec",
    "PackageInput",
    "Placement",
    "RetrainingSpec",
    "RolloutSpec",
    "ScaleSpec",
    "StackSpec",
    "VariantSpec",
    "check_name",
]
