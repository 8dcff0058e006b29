"""Images as the PNG pictures of a report's galleries."""

import io
from typing import Any

import numpy as np


def png(image: "np.ndarray[Any, np.dtype[np.uint8]]") -> bytes:
    """An image, uint8 (c, h, w) with one channel or three, as a PNG's bytes."""
    from PIL import Image

    pixels, buffer = np.moveaxis(image, 0, -1), io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, format="PNG")
    return buffer.getvalue()
