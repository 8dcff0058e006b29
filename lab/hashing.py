"""Hashes of values, by which cells and studies are named."""

import hashlib
import json
from typing import Any


def content_hash(value: Any) -> str:
    """A hash (16 hexadecimal digits) of a JSON-ready value, independent of the order of keys."""
    return text_hash(json.dumps(value, sort_keys=True, separators=(",", ":")))[:16]


def text_hash(text: str) -> str:
    """SHA-256 of a text, in 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
