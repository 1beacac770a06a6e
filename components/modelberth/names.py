"""Names that stay: a resource's name is its identity, so it is made of what the user named and nothing else."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

import pulumi


def physical_name(name: str, *, longest: int = 63) -> str:
    """Return `<project>-<stack>-<name>` in lower-case letters, digits and hyphens.

    One that would be longer than `longest` is cut and ends in a hash of the whole, so that it stays unique.
    """
    full = re.sub(r"[^a-z0-9]+", "-", f"{pulumi.get_project()}-{pulumi.get_stack()}-{name}".lower()).strip("-")
    return shortened(full, longest)


def shortened(name: str, longest: int) -> str:
    """Return a name that is at most `longest`: one that was longer is cut and ends in a hash of the whole."""
    if len(name) <= longest:
        return name
    return f"{name[: longest - 9].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def content_name(name: str, content: Sequence[Any], *, longest: int = 55) -> str:
    """Return the name of a resource that is another one whenever its content is: `<name>-<hash>`.

    What replaces it stands beside it under a name of its own, and the engine deletes the old one only at the end of an
    update that succeeded. `longest` leaves room for the eight characters that the provider adds. Of values that are not
    known when the program runs nothing enters the hash.
    """
    known = ["" if isinstance(value, pulumi.Output) else value for value in content]
    digest = hashlib.sha256(json.dumps([name, *known], sort_keys=True).encode()).hexdigest()
    return f"{name[: longest - 9].rstrip('-')}-{digest[:8]}"
