"""What the words of reports mean, for who reads one alone."""

from lab.reporting.report import Report, Section
from lab.reporting.tables import Table

WORDS = {
    "kimg": "thousands of real images that a network was shown in training; images count each time they are shown.",
    "score": "the soft nearest neighbor loss at its best temperature, divided by the largest value that it can have: 0 "
    "for sets that lie apart, 1 for sets that cannot be told apart. It is called entanglement, too.",
    "temperature": "how far a point looks for neighbours; at the best one the loss is smallest.",
    "joint": "of real and generated images together, each of which asks whether its neighbours are of its kind.",
    "generated side": "of the generated images alone: low where they lie off the data or bunched together.",
    "real side": "of the real images alone: low where generated ones do not reach them.",
    "real against real": "other real images in place of the generated ones: no generator can be expected to do better.",
    "held-out": "real images that were kept apart from training.",
    "seed": "the number that a training's random choices begin with; several show how much is luck.",
    "interval": "in brackets, what the mean over many more seeds lies in with 95% confidence, within what is possible; "
    "none is given of fewer than three.",
    "credibility": "the share of images kept for calibration that are at least as strange as this one.",
    "margin": "the smallest effect that counts; it was stated before the run.",
}


def section(report: Report) -> Section:
    """The words that a report uses."""
    text = " ".join(_texts(report)).lower()
    told = [f"{word}: {meaning}" for word, meaning in WORDS.items() if word in text or word in ("interval", "margin")]
    return Section("Glossary", "\n\n".join(told))


def _texts(report: Report) -> list[str]:
    items = [item for section in report.sections for item in section.items]
    headers = [column.header for item in items if isinstance(item, Table) for column in item.columns]
    return [
        report.question,
        *(section.text for section in report.sections),
        *(item.caption for item in items),
        *headers,
    ]
