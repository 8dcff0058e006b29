"""What settings say of the images that are worked on. Free of torch, so that a plan can read them."""

from pathlib import Path

from pydantic import Field

import imagesets
from imagesets import Name, Spec
from lab.config import HIDDEN, Config


class OfImages(Config):
    """An image set, as cells know it."""

    imageset: Name = Field(description="image set")
    spec: Spec | None = Field(
        None, description="what the image set holds, where it is a user's own", json_schema_extra=HIDDEN
    )

    @property
    def spec_of_images(self) -> Spec:
        """What the image set holds, without its data at hand."""
        return self.spec or imagesets.spec(self.imageset, Path())
