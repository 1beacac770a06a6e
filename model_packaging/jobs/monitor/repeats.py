# pyright: basic
# (numpy and pyarrow carry few types)
"""Events that were delivered twice, found with a memory of fixed size."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

SLOTS = 2**22
"""32 MiB of fingerprints, and 16 MiB of positions within a batch."""

_PRIME = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio, as in Knuth's multiplicative hashing


class Repeats:
    """Remembers the last events, each by 64 bits of its identifier, in the slot that the lowest 22 bits name.

    A later event in the same slot takes the place of an earlier one. So an event that is delivered again after m
    others is found with the chance (1 − 1/4,194,304)^m: 99 % within 42,000 events, 79 % within a million; what is
    missed counts twice. An event that was never seen is taken for a repeated one if another with the same 64 bits
    is in its slot, which happens once in about 10^13 events.
    """

    def __init__(self) -> None:
        self.count = 0
        """Events that were left out."""
        self._slots: Any = None
        self._places: Any = None

    def first(self, identifiers: Any) -> Any:
        """Which events are new, as a mask; each is known from then on. `identifiers` is an Arrow array of texts; an
        event without one is always new."""
        prints = fingerprints(identifiers)
        slots = (prints & np.uint64(SLOTS - 1)).astype(np.int64)
        known, places = self._memory()
        new = known[slots] != prints
        # Of events that share a slot within the batch, the first one's place is written last and stays.
        order = np.arange(len(prints), dtype=np.int32)
        places[slots[::-1]] = order[::-1]
        first = places[slots]
        new &= (first == order) | (prints[first] != prints)
        known[slots] = prints
        if identifiers.null_count:
            new |= np.asarray(identifiers.is_null())
        self.count += int(len(new) - new.sum())
        return new

    def is_first(self, identifier: str | None) -> bool:
        """The same for one event, of those that are read one by one."""
        if identifier is None:
            return True
        known, _ = self._memory()
        digest = hashlib.blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        found = np.uint64(int.from_bytes(digest, "little") or 1)
        slot = int(found) % SLOTS
        new = bool(known[slot] != found)
        known[slot] = found
        self.count += not new
        return new

    def _memory(self) -> tuple[Any, Any]:
        if self._slots is None:
            self._slots = np.zeros(SLOTS, dtype=np.uint64)
            self._places = np.zeros(SLOTS, dtype=np.int32)
        return self._slots, self._places


def fingerprints(texts: Any) -> Any:
    """64 bits of each text of an Arrow array, the same for the same text, never 0."""
    import pyarrow as pa

    array = texts.cast(pa.large_binary())
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    content = np.frombuffer(data, dtype=np.uint8) if data is not None else np.empty(0, dtype=np.uint8)
    lengths = np.diff(bounds)
    found = np.empty(len(array), dtype=np.uint64)
    # Texts of one length, as identifiers mostly are, make a matrix, which is mixed eight bytes at a time.
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        if len(rows) == len(array):
            text = content[bounds[0] : bounds[-1]].reshape(len(array), length)
        else:
            text = content[bounds[rows][:, None] + np.arange(length)]
        words = np.zeros((len(rows), -(-length // 8) * 8), dtype=np.uint8)
        words[:, :length] = text
        found[rows] = _mixed(words.view(np.uint64), length)
    return np.maximum(found, 1)


def _mixed(words: Any, length: int) -> Any:
    state = np.full(len(words), length + 1, dtype=np.uint64)
    prime, half = np.uint64(_PRIME), np.uint64(32)
    for position in range(words.shape[1]):
        state = (state ^ words[:, position]) * prime
        state ^= state >> half
    state *= prime
    return state ^ (state >> np.uint64(29))
