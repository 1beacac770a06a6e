"""A stand-in for Pulumi's Kubernetes plugin where that is not installed.

It follows version 4's server-side apply: every object is applied as a dry run at preview, so that the real API server
validates it, fills in its defaults and lets admission speak before `up`; what differs is what the API server says
differs; and an update waits until what it made is ready, and tells why it does not become so. Sources: Pulumi's
documentation of the provider ("Managing resources with Server-Side Apply", "Await logic") and Kubernetes' API concepts.
"""
