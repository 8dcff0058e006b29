"""The paper's findings, and what the published studies say of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lab.cells import layout
from lab.reporting.verdicts import Verdict
from lab.studying.drawing import judged
from studies._config import ImageStudy

FINDINGS = {
    1: "Maximising entanglement in the hidden layers regularises: test accuracy does not fall, and rises slightly.",
    2: "In ordinary training the hidden layers stay entangled; only the last one parts the classes.",
    3: "Entangled models give better calibrated DkNN uncertainty on foreign and attacked images.",
    4: "Real and generated images entangle as a GAN trains; which modes are covered depends on the architecture.",
    5: "Attacks that were made on entangled models transfer less.",
    6: "Foreign images are told apart better in entangled models.",
}
"""By number, as `Claim.finding` has it; each claim of a study that tests one names it."""


@dataclass(frozen=True)
class Tested:
    """A verdict of a published study.

    Attributes:
        study: its name and folder, e.g. `layers/be70d9c1`.
        images: the image sets that it is of.
        verdict: what its rows say.
    """

    study: str
    images: str
    verdict: Verdict


@cache
def verdicts_in(results: Path) -> dict[int, list[Tested]]:
    """Every verdict on a finding that is published in a folder, by finding, in the order of the studies' folders.

    A study that repeats another's cells, and so its verdict, adds nothing.
    """
    found: dict[int, list[Tested]] = {number: [] for number in FINDINGS}
    for folder in filter(layout.is_study, layout.studies(results)):  # a report that was drawn may outlast its study
        study = judged(folder, lambda claim: claim.finding > 0)
        sets = study.config.images if isinstance(study.config, ImageStudy) else ()
        images = ", ".join(study.names.get(one, one) for one in sets)
        for verdict in study.verdicts:
            known = found[verdict.claim.finding]
            if not any(one.verdict == verdict and one.images == images for one in known):
                known.append(Tested(f"{study.study}/{folder.name}", images, verdict))
    return found


def outcome(verdicts: Sequence[str]) -> str:
    """What verdicts on the claims of a finding come to, in a word."""
    judged = {verdict for verdict in verdicts if verdict != "no verdict"}
    if not judged:
        return "not tested"
    if judged == {"supported"}:
        return "replicates"
    if "supported" in judged:
        return "replicates in part"
    return "does not replicate" if "contradicted" in judged else "undecided"
