"""Cloud Storage's JSON API: buckets, objects with their generations, uploads and downloads.

Sources: "Cloud Storage JSON API v1" (buckets, objects), and the guides named in the modules.
"""

from sandbox.google.storage import buckets, lifecycle, media, objects
from sandbox.google.storage.api import api
from sandbox.google.storage.lifecycle import prepare
from sandbox.google.storage.state import download, read, storage_of, upload, write

__all__ = [
    "api",
    "buckets",
    "download",
    "lifecycle",
    "media",
    "objects",
    "prepare",
    "read",
    "storage_of",
    "upload",
    "write",
]
