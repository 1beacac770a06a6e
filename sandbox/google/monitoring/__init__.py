"""Cloud Monitoring: metrics, alerting policies that are evaluated by the clock, notification channels, dashboards.

Sources: Cloud Monitoring API reference v3 and v1, and the guides named in the modules.
"""

from sandbox.google.monitoring import alert_policies, channels, dashboards, descriptors, timeseries
from sandbox.google.monitoring.api import api
from sandbox.google.monitoring.incidents import prepare

__all__ = ["alert_policies", "api", "channels", "dashboards", "descriptors", "prepare", "timeseries"]
