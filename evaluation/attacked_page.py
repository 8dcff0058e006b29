"""The page of attacks: images before and after, and what network and neighbours say of them."""

from torch import Tensor

from evaluation.attacked import NORMS, Attacked, Attempt
from lab.reporting.pictures import png
from lab.reporting.report import Gallery, GalleryRow, Picture, Report, Section
from lab.reporting.tables import number

READING = (
    "The accuracy that an attack leaves is an upper bound: a stronger one may leave less. An attack up the gradients "
    "of the logits reaches the neighbours by transfer alone; neighbor is made for them. Credibility is a p-value: the "
    "share of held-out images that are at least as strange, not the probability of being right. docs/attacks.md tells "
    "of each."
)


def report(found: Attacked) -> Report:
    """The whole page."""
    question = (
        f"What becomes of {len(found.labels)} images that {found.trained.name} has not seen, and what do it and its "
        f"nearest training images say then? eps is {NORMS[found.norm]}."
    )
    clean, *rows = found.rows
    before = (
        f"Without an attack the network has {number(clean['accuracy'])} right, the neighbours "
        f"{number(clean['dknn_accuracy'])}, with a mean credibility of {number(clean['credibility'])}."
    )
    shares = found.gradients
    if shares is not None:
        before += (
            f" {shares['zero']:.1%} of the images have a gradient of 0, those of {shares['vanishing']:.1%} vanish."
        )
    sections = [_section(found, *pair) for pair in zip(found.attempts, rows, strict=True)]
    return Report(
        f"Attacks on {found.trained.name}", question, [Section("How to read it", f"{READING}\n\n{before}"), *sections]
    )


def _section(found: Attacked, attempt: Attempt, row: dict[str, float]) -> Section:
    text = (
        f"The network has {number(row['accuracy'])} right, the neighbours {number(row['dknn_accuracy'])}; mean "
        f"credibility {number(row['credibility'])}."
    )
    places = attempt.shown.tolist()
    images, change = found.images[attempt.shown], attempt.images - found.images[attempt.shown]
    classes = found.trained.spec.classes

    def said(of: Attempt, i: int) -> str:
        network, neighbors = (classes[int(labels[i])] for labels in (of.said.predicted, of.said.neighbors))
        true = classes[int(found.labels[i])]
        return f"{true}: network {network}, neighbours {neighbors} ({float(of.said.credibility[i]):.3f})"

    rows = [
        GalleryRow("image", [_picture(said(found.clean, i), one) for i, one in zip(places, images, strict=True)]),
        GalleryRow(
            "attacked", [_picture(said(attempt, i), one) for i, one in zip(places, attempt.images, strict=True)]
        ),
        GalleryRow("difference", [_picture(_size(one), _stretched(one)) for one in change]),
    ]
    caption = (
        "First those that the network came to see otherwise. Below each image its class, and what the network and the "
        "neighbours say, with the credibility; below a difference, stretched around grey, its largest value."
    )
    return Section(f"{attempt.attack}, eps {attempt.eps:g}", text, [Gallery(caption, rows)])


def _picture(text: str, image: Tensor) -> Picture:
    """An image in [0, 1] (c, h, w), rounded to 8 bits."""
    return Picture(text, png(image.mul(255).round().byte().numpy()))


def _size(change: Tensor) -> str:
    return f"{float(change.abs().max()):.3g}"


def _stretched(change: Tensor) -> Tensor:
    """Changes (c, h, w) as values in [0, 1], 0 in the middle."""
    largest = float(change.abs().max())
    return 0.5 + (change / (2 * largest) if largest else change)
