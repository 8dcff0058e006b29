"""Entanglement of the hidden states of a model of transformers, after every evaluation by its Trainer.

pip install transformers
python examples/hugging_face_trainer.py
"""

import tempfile
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments, ViTConfig, ViTForImageClassification

from snnl_core import EntanglementMonitor


class Entanglement(TrainerCallback):
    """Logs `entanglement/N` of the first token after block N, the score in [0, 1], at the end of each evaluation."""

    def __init__(self, size: int = 1000) -> None:
        self.monitor, self.found = EntanglementMonitor(size=size), {}

    def on_evaluate(
        self, args: Any, state: Any, control: Any, model: nn.Module, eval_dataloader: Any, **rest: Any
    ) -> None:
        """Show the model the evaluation's batches once more, for its hidden states."""
        self.monitor.reset()
        model.eval()
        for batch in eval_dataloader:
            batch = {name: value.to(model.device) for name, value in batch.items()}
            with torch.inference_mode():
                states = model(**batch, output_hidden_states=True).hidden_states
            self.monitor.update({str(i): one[:, 0] for i, one in enumerate(states[1:], 1)}, batch["labels"])
        self.found = {f"entanglement/{layer}": found.score for layer, found in self.monitor.compute().items()}
        state.log_history.append({"step": state.global_step, **self.found})


def main() -> dict[str, float]:
    """Train a small vision transformer on handwritten digits for 20 steps, and give what was measured last."""
    digits = load_digits()
    images = torch.tensor(digits.images / 16).float()[:, None]
    data = [{"pixel_values": x, "labels": int(y)} for x, y in zip(images, digits.target, strict=True)]
    shape = {"image_size": 8, "patch_size": 4, "num_channels": 1, "hidden_size": 32, "intermediate_size": 64}
    depth = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_labels": 10}
    callback = Entanglement()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"max_steps": 20, "eval_strategy": "steps", "eval_steps": 20, "report_to": "none", "use_cpu": True}
        arguments = TrainingArguments(folder, per_device_train_batch_size=64, save_strategy="no", **settings)
        model = ViTForImageClassification(ViTConfig(**shape, **depth))
        Trainer(model, arguments, train_dataset=data, eval_dataset=data[:500], callbacks=[callback]).train()
    return callback.found


if __name__ == "__main__":
    print(main())
