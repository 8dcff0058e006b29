"""The soft nearest neighbor loss: how entangled classes are in a representation, exact and in log space.

For points x with labels y and a temperature T (Frosst, Papernot and Hinton 2019, equation 1),

    l(x, y, T) = - mean_i log [ sum_{j != i, y_j = y_i} exp(-d_ij / T) / sum_{k != i} exp(-d_ik / T) ]

is low where each point's near neighbours are of its own class and high where classes mix. `soft_nearest_neighbor_loss`
is that function, for training; `entanglement` is its minimum over T (equation 2) and what it says, for measuring;
`EntanglementMonitor` measures the layers of any training loop on a sample of what passes by.
Tensors in, tensors out: no files, no other part of the project.
"""

from snnl_core.distributed import gather_with_grad
from snnl_core.entanglement import Entanglement, GroupEntanglement, entanglement
from snnl_core.loss import SoftNearestNeighborLoss, soft_nearest_neighbor_loss
from snnl_core.monitor import EntanglementMonitor

VERSION = 1

__all__ = [
    "Entanglement",
    "EntanglementMonitor",
    "GroupEntanglement",
    "SoftNearestNeighborLoss",
    "entanglement",
    "gather_with_grad",
    "soft_nearest_neighbor_loss",
]
