"""Cloud Logging: entries that are written and listed, and the metrics that count them.

Sources: Cloud Logging API v2 and the guides named in the modules.
"""

from sandbox.google.logs import entries, metrics
from sandbox.google.logs.api import api
from sandbox.google.logs.entries import write_text

__all__ = ["api", "entries", "metrics", "write_text"]
