"""Cloud Scheduler: jobs that call APIs, loopback and topics on the emulator's clock.

Sources: Cloud Scheduler API reference v1 and the guides named in the modules.
"""

from sandbox.google.scheduler import jobs
from sandbox.google.scheduler.api import api
from sandbox.google.scheduler.firing import prepare

__all__ = ["api", "jobs", "prepare"]
