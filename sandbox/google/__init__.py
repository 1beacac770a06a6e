"""An emulator of Google Cloud on loopback, driven by Google's own API description documents.

Requests and answers are checked against the published schemas; the modules give the methods their meaning.
"""
