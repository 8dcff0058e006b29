"""Steps that torch.compile translates: the engine lies between their graphs, and finds there what it finds outside."""

import pytest
import torch
from torch import nn

from snnl_core import (
    DeepKNN,
    EntanglementMonitor,
    SoftNearestNeighborLoss,
    entanglement,
    nearest_neighbors,
    soft_nearest_neighbor_loss,
)

LABELS = torch.arange(24) % 3
TOLD = hasattr(torch.compiler, "is_exporting")
X = torch.randn(24, 5, generator=torch.Generator().manual_seed(0)) + LABELS[:, None]


@pytest.fixture
def compiled():
    """A function, compiled, and the graphs that it was translated to."""
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    yield lambda function: torch.compile(function, backend=backend), graphs
    torch._dynamo.reset()


def test_a_step_has_one_graph_before_the_loss_and_one_behind_it(compiled):
    """For every step the same ones, whatever the best temperature and whatever it has counted."""
    translate, graphs = compiled
    layer, module = nn.Linear(5, 4), SoftNearestNeighborLoss()

    def step(x):
        features = layer(x).relu()
        return module(features, LABELS) + features.square().mean()

    translated = translate(step)
    for scale in (1.0, 2.0, 3.0):
        found = translated(scale * X)
        expected = step(scale * X)
        torch.testing.assert_close(found, expected)
        gradients = [torch.autograd.grad(loss, layer.weight)[0] for loss in (found, expected)]
        torch.testing.assert_close(*gradients)
    assert sum(module.at_limit.values()) == 6
    assert len(graphs) == 2


def test_nothing_of_the_engine_is_translated(compiled):
    translate, graphs = compiled
    knn, monitor, others = DeepKNN(3), EntanglementMonitor(9), X + 1

    def everything(x):
        monitor.update({"a": x}, LABELS)
        loss, score = soft_nearest_neighbor_loss(x, LABELS), entanglement(x, LABELS).score
        fitted = knn.fit({"a": x}, LABELS).calibrate({"a": others}, LABELS)
        return loss, score, nearest_neighbors(x, x, 3), fitted.predict({"a": x}).p_values

    torch.testing.assert_close(translate(everything)(X), everything(X), rtol=0, atol=0)
    assert monitor.seen == 48
    assert not [node for graph in graphs for node in graph.graph.nodes if node.op.startswith("call")]


class Whole(nn.Module):
    """A network with its objective in it."""

    def __init__(self):
        super().__init__()
        self.layer, self.objective = nn.Linear(5, 4), SoftNearestNeighborLoss(2.0)

    def forward(self, x):
        return self.objective(self.layer(x), LABELS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("translate", [*([torch.export.export] if TOLD else []), torch.jit.trace])
def test_what_would_freeze_its_decisions_is_refused(translate):
    """Traced, those of one batch would hold for all; exported, the first decision failed in words of torch's own."""
    with pytest.raises(RuntimeError, match=r"leave it out of what torch\.export and torch\.jit translate"):
        translate(Whole(), (X,))
