"""Hashes of values, by which cells and studies are named, and of files, by which they are proven."""

import hashlib
import json
from pathlib import Path
from typing import Any


def content_hash(value: Any) -> str:
    """A hash (16 hexadecimal digits) of a JSON-ready value, independent of the order of keys."""
    return text_hash(json.dumps(value, sort_keys=True, separators=(",", ":")))[:16]


def text_hash(text: str) -> str:
    """SHA-256 of a text, in 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def bytes_hash(data: bytes) -> str:
    """SHA-256 of bytes, in 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of what a file holds, in 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
