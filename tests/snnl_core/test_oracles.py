"""The loss against other people's code, and its memory against the size of the matrix that it does without."""

import json
import os
from pathlib import Path

import forks
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from snnl_core import soft_nearest_neighbor_loss

DOUBLE = torch.float64
ROOT = Path(__file__).resolve().parents[2]


def draw(seed, n, d=5, classes=4, dtype=DOUBLE):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=DOUBLE).to(dtype)
    return x, torch.randint(classes, (n,), generator=generator)


@pytest.fixture(scope="module")
def metric_learning():
    return pytest.importorskip("pytorch_metric_learning", reason="pip install pytorch-metric-learning")


@pytest.mark.parametrize("dtype, tolerance", [(DOUBLE, 1e-10), (torch.float32, 5e-5)])
@pytest.mark.parametrize("distance, share", [("sqeuclidean", 1), ("cosine", 2)])
@pytest.mark.parametrize("temperature", [0.4, 3.0, 50.0])
def test_equals_nca(path, metric_learning, temperature, distance, share, dtype, tolerance):
    """Neighbourhood components analysis as a loss, -log p_i, at the scale 1 / T: also the mean over those with a mate.

    On the sphere |a - b|^2 = 2 (1 - cos), so its normalised points are ours at twice the temperature.
    """
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.losses import NCALoss

    x, labels = draw(0, 37, dtype=dtype)
    labels[5] = 17  # alone in its class
    one, other = x.double().clone().requires_grad_(), x.clone().requires_grad_()  # the oracle is always exact
    apart = LpDistance(normalize_embeddings=distance == "cosine", p=2, power=2)
    theirs = NCALoss(softmax_scale=1 / (share * temperature), distance=apart)(one, labels)
    ours = soft_nearest_neighbor_loss(other, labels, temperature, distance=distance)
    ours.backward(), theirs.backward()
    assert ours.item() == pytest.approx(theirs.item(), rel=tolerance)
    torch.testing.assert_close(other.grad.double(), one.grad, rtol=100 * tolerance, atol=tolerance)


def test_where_nca_underflows_the_loss_does_not(metric_learning):
    """There a point whose probability is 0 in float32 is dropped, the hardest first; here it counts."""
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.losses import NCALoss

    x = torch.tensor([[0.0], [20.0], [20.1], [0.1], [50.0], [50.1]])
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    theirs = NCALoss(distance=LpDistance(normalize_embeddings=False, power=2))(x, labels)
    assert theirs.item() == pytest.approx(0)
    expected = (400 - 0.01 + 400 - 0.01 + 20.0**2 - 0.01 + 20.0**2 - 0.01) / 6
    assert soft_nearest_neighbor_loss(x, labels).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("temperature", [1e-3, 0.5, 20.0])
def test_equals_scipy(path, metric, temperature):
    x, labels = draw(1, 60)
    logits = -cdist(x, x, metric) / temperature
    logits[range(60), range(60)] = -torch.inf
    same = (labels[:, None] == labels).numpy()
    expected = logsumexp(logits, axis=1) - logsumexp(logits, axis=1, b=same)
    found = soft_nearest_neighbor_loss(x, labels, temperature, distance=metric, reduction="none")
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
def test_cold_entanglement_is_that_of_the_nearest_neighbour(path, distance):
    """The anchors whose loss does not vanish as T -> 0 are those that a 1-nearest-neighbour classifier gets wrong."""
    from sklearn.neighbors import KNeighborsClassifier

    x, labels = draw(2, 80, classes=3)
    each = soft_nearest_neighbor_loss(x, labels, 1e-9, distance=distance, reduction="none")
    classifier = KNeighborsClassifier(2, metric=distance, algorithm="brute").fit(x, labels)
    nearest = torch.from_numpy(classifier.kneighbors(x, return_distance=False)[:, 1])
    assert torch.equal(each > 1, labels[nearest] != labels)


MEASURED = """
import json, re, torch
from pathlib import Path
from snnl_core import entanglement, soft_nearest_neighbor_loss, SoftNearestNeighborLoss

torch.set_num_threads(1)

def memory(name):
    # Not getrusage's, which starts at what the parent process had when it forked.
    return 1024 * int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

def work(x, labels):
    {work}

def draw(n):
    return torch.randn(n, 256, generator=torch.Generator().manual_seed(0)), torch.arange(n) % 10

x, labels = draw(1200)  # whatever is set up once
work(x, labels)
x, labels = draw({n})
before = memory('VmRSS')
work(x, labels)
print(json.dumps((memory('VmHWM') - before) / x.nbytes))
"""

N = 6000
WORK = {
    "loss": ("soft_nearest_neighbor_loss(x.requires_grad_(), labels, 500.0).backward()", 16),
    "cold loss": ("soft_nearest_neighbor_loss(x.requires_grad_(), labels, 5.0).backward()", 7),
    "minimum": ("SoftNearestNeighborLoss()(x.requires_grad_(), labels).backward()", 15),
    "cosine": ("soft_nearest_neighbor_loss(x.requires_grad_(), labels, 0.5, distance='cosine').backward()", 19),
    "entanglement": ("entanglement(x, labels)", 10),
}
"""What is done, and the memory that it may take, in inputs: a quarter to a half more than it was seen to take.

One matrix of all distances would be N / 256 = 23 inputs; of tiles for the gradient eight inputs are kept.
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("name", WORK)
def test_memory_grows_with_the_points_not_with_the_pairs(tmp_path, name):
    work, limit = WORK[name]
    (tmp_path / "measure.py").write_text(MEASURED.format(work=work, n=N))
    done = forks.run(tmp_path / "measure.py", [], ROOT, os.environ, 120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) < limit < 0.9 * N / 256
