"""The soft nearest neighbor loss: how entangled classes are in a representation, exact and in log space.

For points x with labels y and a temperature T (Frosst, Papernot and Hinton 2019, equation 1),

    l(x, y, T) = - mean_i log [ sum_{j != i, y_j = y_i} exp(-d_ij / T) / sum_{k != i} exp(-d_ik / T) ]

is low where each point's near neighbours are of its own class and high where classes mix. `soft_nearest_neighbor_loss`
is that function, for training; `entanglement` is its minimum over T (equation 2) and what it says, for measuring;
`EntanglementMonitor` measures the layers of any training loop on a sample of what passes by.
`DeepKNN` asks the neighbours in hidden layers whether the training set supports a prediction (Papernot and McDaniel
2018), `nearest_neighbors` finds them, exactly.
Tensors in, tensors out: no files, no other part of the project.
"""

from snnl_core.deep_knn import DeepKNN
from snnl_core.distributed import gather_with_grad
from snnl_core.entanglement import entanglement
from snnl_core.loss import SoftNearestNeighborLoss, soft_nearest_neighbor_loss
from snnl_core.measurement import Entanglement, GroupEntanglement
from snnl_core.monitor import EntanglementMonitor
from snnl_core.neighbors import nearest_neighbors
from snnl_core.prediction import DeepKNNPrediction

VERSION = 1
"""Raised when results change: what was computed before is not taken for what is computed now."""

__all__ = [
    "DeepKNN",
    "DeepKNNPrediction",
    "Entanglement",
    "EntanglementMonitor",
    "GroupEntanglement",
    "SoftNearestNeighborLoss",
    "entanglement",
    "gather_with_grad",
    "nearest_neighbors",
    "soft_nearest_neighbor_loss",
]
