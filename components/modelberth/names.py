"""Names that stay: a resource's name is its identity, so it is made of what the user named and nothing else."""

import hashlib
import re

import pulumi


def physical_name(name: str, *, longest: int = 63) -> str:
    """Return `<project>-<stack>-<name>` in lower-case letters, digits and hyphens.

    One that would be longer than `longest` is cut and ends in a hash of the whole, so that it stays unique.
    """
    full = re.sub(r"[^a-z0-9]+", "-", f"{pulumi.get_project()}-{pulumi.get_stack()}-{name}".lower()).strip("-")
    if len(full) <= longest:
        return full
    return f"{full[: longest - 9].rstrip('-')}-{hashlib.sha256(full.encode()).hexdigest()[:8]}"
