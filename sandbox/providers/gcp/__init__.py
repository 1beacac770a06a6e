"""A stand-in for the official Pulumi Google Cloud provider plugin, for machines that cannot have it.

Seen from the engine it behaves as the official plugin does: it checks every input against the published SDK, names
what is unnamed, finds what must be replaced, keeps labels as the official one does, and calls Google's REST APIs, or
whatever the custom endpoints lead to. It knows the resources in `resources/` and the functions in `functions.py`.
"""
