"""Smallest thing that the run infrastructure can drive: one linear layer that behaves like the system."""

import copy
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn

from stable_diffusion_lab.adapt.fixed import Fixed
from stable_diffusion_lab.batch import Batch, Sample
from stable_diffusion_lab.task.generation import Generation
from stable_diffusion_lab.training.checkpoint_file import AtomicCheckpointIO
from stable_diffusion_lab.training.schedule import Schedule


class Pair(nn.Linear):
    """Drafts are what the layer says, refinements the opposite."""

    task = Generation()

    def generate(self, n: int, seed: int = 0) -> Sample:
        noise = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
        draft = self(noise).tanh().view(n, 1, 2, 2)
        return Sample(draft.detach(), -draft.detach())


class System(LightningModule):
    """``after(system)`` is called when a batch is done, for the test to interfere."""

    def __init__(self, after: Callable[["System"], None] = lambda system: None) -> None:
        super().__init__()
        self.model = Pair(2, 4)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.schedule = Schedule(steps=10, head_start=0.5)
        self.batches_seen = 0
        self.terms: dict[str, Tensor] = {}
        self.adapt = Fixed({})
        self.after = after

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.model(batch.clean).square().mean()
        self.terms = {"square/generator": loss.detach()}
        self.adapt.last = {"square/generator": torch.ones(())}
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.batches_seen += 1
        self.average.load_state_dict(self.model.state_dict())
        self.after(self)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.model.parameters(), lr=0.1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["batches_seen"] = self.batches_seen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.batches_seen = checkpoint["batches_seen"]


class Batches:
    """Batch t holds the number t."""

    def __init__(self, steps: int, first: int = 0) -> None:
        self.steps = steps
        self.first = first
        self.global_batch = 4

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Any:
        for t in range(self.first, self.steps):
            yield Batch(torch.full((4, 2), float(t + 1)), None)


def trainer(folder: Path, callbacks: list[Any], steps: int, **options: Any) -> Trainer:
    """A trainer for one run of so many batches on the CPU."""
    plain = {"accelerator": "cpu", "devices": 1, "logger": False, "enable_model_summary": False}
    return Trainer(
        **{**plain, "enable_progress_bar": False, **options},
        default_root_dir=folder,
        max_steps=steps,
        max_epochs=1,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
    )


def forked(action: Callable[[], object]) -> int:
    """Run something in a copy of this process and return its exit status; 1 if it raised."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            action()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
