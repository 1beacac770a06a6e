"""What every resource of this provider says of itself, and what it is given to work with."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import UnionType
from typing import Any, ClassVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, ValidatorFunctionWrapHandler, field_validator

from modelberth_provider.google import Json, Monitoring, Settings, Vertex, Waiting
from modelberth_provider.wire import UNKNOWN


class Part(BaseModel):
    """Inputs or a part of them, under the names that the engine uses. A value that is not known yet fits anywhere."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _skip_unknown(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        if value is UNKNOWN:
            return value
        inside: list[Any] = []
        if isinstance(value, list):
            inside = cast("list[Any]", value)
        elif isinstance(value, dict) and part_in(cls.model_fields[str(info.field_name)].annotation) is None:
            inside = list(cast(Json, value).values())
        return cast(Any, value) if UNKNOWN in inside else handler(value)


def part_in(annotation: Any) -> type[Part] | None:
    """The `Part` that a field's annotation is, or is optionally; not one inside a list or a map."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((one for one in options if isinstance(one, type) and issubclass(one, Part)), None)


class State(BaseModel):
    """What is known of a resource beside its inputs, once it is made."""

    model_config = ConfigDict(use_attribute_docstrings=True)


@dataclass
class Call:
    """One request of the engine's."""

    urn: str
    vertex: Vertex
    waiting: Waiting
    warn: Callable[[str], None] = lambda text: None

    @property
    def settings(self) -> Settings:
        """How Google is reached."""
        return self.vertex.settings

    @cached_property
    def monitoring(self) -> Monitoring:
        """Cloud Monitoring, reached in the same way."""
        return Monitoring(self.settings)

    def token(self, inputs: Json) -> str:
        """32 hexadecimal digits that are the same whenever this resource is made of the same inputs."""
        return hashlib.sha256(json.dumps([self.urn, inputs], sort_keys=True).encode()).hexdigest()[:32]


class Refused(Exception):
    """A request that cannot be served; the text is for people."""


class Unfinished(Exception):
    """The resource exists, or is being made, and is not usable yet: the engine records it, and the next update
    continues."""

    def __init__(self, identifier: str, state: Json, reason: str) -> None:
        super().__init__(reason)
        self.identifier, self.state = identifier, state


class Resource(ABC):
    """One type of resource."""

    token: ClassVar[str]
    Inputs: ClassVar[type[Part]]
    State: ClassVar[type[State]]
    updated: ClassVar[frozenset[str]]
    """The inputs, by the first part of their path or by all of it, that can be changed in place."""
    hidden: ClassVar[re.Pattern[str]] = re.compile(r"(?!)")
    """The paths of inputs whose values no error may show, because they are often secret."""
    seconds: ClassVar[dict[str, float]] = {"create": 1800.0, "update": 1800.0, "delete": 1800.0}
    """How long each may take, unless the program says otherwise."""

    def defaults(self, inputs: Json, settings: Settings) -> Json:
        """The inputs with what the provider's configuration adds."""
        return inputs

    def problems(self, inputs: Json) -> dict[str, str]:
        """What is wrong with inputs that fit their types, by property."""
        return {}

    def delete_first(self, olds: Json, news: Json) -> bool:
        """Whether the old one has to be gone before the new one is made, because both would bear one name."""
        return False

    @abstractmethod
    def create(self, call: Call, inputs: Json) -> tuple[str, Json]:
        """Make it; its id and state. Unfinished if it was begun only."""

    @abstractmethod
    def read(self, call: Call, identifier: str, state: Json, inputs: Json) -> tuple[str, Json, Json] | None:
        """Its id, state and inputs as they are now, or nothing if it is gone. Without inputs it is imported."""

    @abstractmethod
    def update(self, call: Call, identifier: str, state: Json, inputs: Json) -> Json:
        """Change it, or go on with what was begun; its state."""

    @abstractmethod
    def delete(self, call: Call, identifier: str, state: Json) -> None:
        """Delete it; not an error if it is gone."""
