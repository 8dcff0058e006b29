"""What Frosst, Papernot and Hinton (2019, arXiv 1902.01889) claim, and which claims of the studies test it."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.reporting.verdicts import Claim


@dataclass(frozen=True)
class PaperClaim:
    """A claim of the paper.

    Attributes:
        text: what is claimed, in our words.
        tested: by study, a pattern that the texts of its claims which test this one match from their beginning.
    """

    text: str
    tested: dict[str, str]

    def is_tested_by(self, study: str, claim: "Claim") -> bool:
        """Whether a claim of a study tests it."""
        return study in self.tested and re.match(self.tested[study], claim.text) is not None


PAPER = (
    PaperClaim(
        "Maximising the entanglement of classes in hidden layers regularises: test accuracy does not fall, and rises "
        "slightly.",
        {"classifier-regularization": "Entangling the hidden layers"},
    ),
    PaperClaim(
        "In ordinary training the hidden layers stay entangled; only the last one parts the classes.",
        {"layers": "As .* learns"},
    ),
    PaperClaim(
        "Entangled networks give Deep k-nearest neighbours a better calibrated uncertainty of foreign and attacked "
        "inputs.",
        {"calibration": "Entangled with .*credibility"},
    ),
    PaperClaim(
        "Real and generated images entangle as a GAN trains, and how far the classes are covered depends on the "
        "architecture.",
        {"gan-entanglement": "Real and generated images entangle|The coverage of classes differs"},
    ),
    PaperClaim("Attacks that were made on entangled networks transfer less.", {"transfer": ""}),
    PaperClaim(
        "Foreign images are told apart better from those that an entangled network was trained on.",
        {"calibration": "Entangled with .*tell foreign images apart"},
    ),
)
