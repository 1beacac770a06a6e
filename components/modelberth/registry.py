"""The platforms, by name. A platform is one folder under platforms/ and one line here."""

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

from .errors import SpecificationError, choices, did_you_mean

Capability = Literal["endpoint", "bucket", "alarms", "retraining"]
CAPABILITIES: tuple[Capability, ...] = ("endpoint", "bucket", "alarms", "retraining")


@dataclass(frozen=True)
class Platform:
    """Where a platform's modules are, and the extra of this distribution that installs what they need."""

    package: str
    extra: str


PLATFORMS = {
    "kubernetes": Platform("modelberth.platforms.kubernetes", extra="kubernetes"),
    "sagemaker": Platform("modelberth.platforms.sagemaker", extra="aws"),
    "vertex": Platform("modelberth.platforms.vertex", extra="gcp"),
}


def load(platform: str, module: str) -> ModuleType:
    """Import one module of a platform, and with it the platform's SDK, on first use.

    Raises:
        SpecificationError: the platform is unknown, or what it needs is not installed; the text says how to get it.
    """
    if platform not in PLATFORMS:
        hint = did_you_mean(platform, PLATFORMS)
        raise SpecificationError(f"unknown platform {platform!r}: choose {choices(PLATFORMS)}{hint}")
    entry = PLATFORMS[platform]
    try:
        return importlib.import_module(f"{entry.package}.{module}")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("modelberth"):
            raise
        raise SpecificationError(
            f"platform {platform} needs {error.name}, which is not installed: pip install 'modelberth[{entry.extra}]'"
        ) from error
