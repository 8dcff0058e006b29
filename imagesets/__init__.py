"""Image sets, one file each; what they are and how to come by them stands here. Free of torch until images are loaded.

`load` gives a split as uint8; `spec` tells what a set holds, and `fingerprint` identifies its bytes, without loading;
`settle` decodes a user's own images, and `decode` some files alone.
"""

from imagesets._sets import (
    SOURCES,
    Name,
    check,
    check_n,
    data_root,
    decode,
    fingerprint,
    label,
    load,
    recorded_spec,
    settle,
    spec,
)
from imagesets._spec import OWN, SIZES, ImageSet, Spec, to_float, to_uint8

__all__ = [
    "OWN",
    "SIZES",
    "SOURCES",
    "ImageSet",
    "Name",
    "Spec",
    "check",
    "check_n",
    "data_root",
    "decode",
    "fingerprint",
    "label",
    "load",
    "recorded_spec",
    "settle",
    "spec",
    "to_float",
    "to_uint8",
]
