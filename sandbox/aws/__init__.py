"""The AWS emulator of the sandbox: moto in one process, plus our own services beside it.

The published behaviour of the cloud is the reference; docs/sandbox-aws.md says what is covered.
"""
