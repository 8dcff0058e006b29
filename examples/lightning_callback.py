"""Entanglement of hidden layers after every epoch of a training with Lightning.

pip install lightning
python examples/lightning_callback.py
"""

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from snnl_core import EntanglementMonitor


class Entanglement(L.Callback):
    """Logs `entanglement/LAYER`, the score in [0, 1], of named modules, on a sample of each validation epoch.

    The batches of the validation are pairs (x, labels); each process measures its own part.
    """

    def __init__(self, layers: Sequence[str], size: int = 1000) -> None:
        self.layers, self.monitor = layers, EntanglementMonitor(size=size)
        self.seen: dict[str, torch.Tensor] = {}
        self.hooks: list[Any] = []

    def on_validation_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Look at the modules' outputs: copies, as what comes next may work in place."""
        self.monitor.reset()
        modules = dict(module.named_modules())
        for name in self.layers:
            self.hooks.append(
                modules[name].register_forward_hook(
                    lambda _, __, out, n=name: self.seen.update({n: out.detach().clone()})
                )
            )

    def on_validation_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Keep a sample of them."""
        self.monitor.update(self.seen, batch[1])

    def on_validation_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Measure what was kept."""
        self.on_exception(trainer, module, None)
        for layer, found in self.monitor.compute().items():
            module.log(f"entanglement/{layer}", found.score)

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException | None) -> None:
        """Look no more."""
        while self.hooks:
            self.hooks.pop().remove()


class Classifier(L.LightningModule):
    """A small network for handwritten digits."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(64, 128), nn.ReLU()), nn.Linear(128, 10)

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        """Cross-entropy."""
        return nn.functional.cross_entropy(self.head(self.body(batch[0])), batch[1])

    def validation_step(self, batch: Any, index: int) -> None:
        """Show the layers the batch."""
        self.head(self.body(batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), 3e-3)


def main() -> dict[str, float]:
    """Train for two epochs, and give what was logged last."""
    digits = load_digits()
    data = TensorDataset(torch.tensor(digits.data / 16).float(), torch.tensor(digits.target))
    trainer = L.Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=[Entanglement(["body", "head"])],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Classifier(), DataLoader(data, 64, shuffle=True), DataLoader(data, 256))
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


if __name__ == "__main__":
    print(main())
