"""What the measures of generated images are, a line each, for who reads a page without the documents."""

from collections.abc import Mapping, Sequence

from lab.reporting.tables import Table, columns

MEANINGS: Mapping[str, tuple[str, str]] = {
    "entanglement": (
        "soft nearest neighbor loss between both sets at its best temperature, divided by its bound; of all images "
        "(joint), or over those of one side, at a temperature of their own (Frosst et al. 2019)",
        "higher, to 1",
    ),
    "entanglement_loss": ("that loss itself, in nats", "higher"),
    "inverse_temperature": ("1 / the best temperature, in units of the squared distance; 0: none parts the sets", ""),
    "coverage": ("the real side of each class, averaged over the classes", "higher, to 1"),
    "one_nn_accuracy": (
        "how often an image's nearest other one is of its own set (Lopez-Paz and Oquab 2017)",
        "0.5; below, copies",
    ),
    "fid": (
        "Frechet distance between Gaussians fitted to the features of both sets (Heusel et al. 2017); that of papers "
        "in the features of Inception alone. It rises as n falls: compare equal n",
        "lower",
    ),
    "fid_infinity": ("FID extrapolated to infinite n, without its bias (after Chong and Forsyth 2020)", "lower"),
    "kid": (
        "squared maximum mean discrepancy under the kernel (x'y / d + 1)^3, unbiased, of all images at once (Binkowski "
        "et al. 2018)",
        "lower, about 0",
    ),
    "sliced_wasserstein": (
        "root of the mean squared 2-Wasserstein distance along 1,000 fixed random directions (Bonneel et al. 2015)",
        "lower",
    ),
    "mind": ("3 d times the square of sliced Wasserstein, in d features (Berthet et al. 2026)", "lower"),
    "precision": (
        "share of generated images in the ball of a real one, to its 3rd neighbour (Kynkaanniemi et al. 2019)",
        "higher, to 1",
    ),
    "recall": ("share of real images in the ball of a generated one, to its 3rd neighbour", "higher, to 1"),
    "density": (
        "mean number of real images' balls, to their 5th neighbour, that a generated one lies in, divided by 5 (Naeem "
        "et al. 2020)",
        "about 1",
    ),
    "ball_coverage": (
        "share of real images with a generated one in their ball, to their 5th neighbour (Naeem et al. 2020)",
        "higher, to 1",
    ),
    "vendi": (
        "effective number of different images, by the entropy of their cosines (Friedman and Dieng 2023)",
        "as of real ones",
    ),
    "spread": ("mean distance to the nearest other image, divided by that of real ones", "about 1"),
    "class_entropy": ("entropy of the classes that a classifier sees, in nats", "as of real ones"),
    "class_kl": ("divergence of those classes from the real ones', KL(generated || real), in nats", "lower, about 0"),
    "modes": ("classes that hold at least a tenth of the share that they have among real images", "all classes"),
    "copied": ("share at distance 0 from a real image", "0"),
    "memorized": (
        "share no farther from their nearest training image than that is from its own nearest other one",
        "as of held-out ones",
    ),
}
"""What each metric is, and where it is best; intervals, standard errors and gaps go with that which they are of."""


def meanings(names: Mapping[str, Sequence[str]]) -> Table:
    """What metrics are, each under the names that a page has for it."""
    rows = [[", ".join(names[metric]), *MEANINGS[metric]] for metric in MEANINGS if metric in names]
    return Table("meanings", "What the measures are.", columns("measure", "what it is", "best"), rows)
