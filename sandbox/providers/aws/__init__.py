"""A stand-in for the official Pulumi AWS provider plugin, for machines that cannot have it.

Seen from the engine it behaves as the official plugin does: it checks every input against the
published SDK (`schema.py`), names what is unnamed, finds what must be replaced, and calls AWS, or
whatever the configured endpoints lead to, through boto3. It knows the resources in `resources/`
and the functions in `functions.py`.
"""
