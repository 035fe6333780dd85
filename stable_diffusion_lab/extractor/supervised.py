"""What every judge does that is a classifier trained on the data's own labels."""

import hashlib
import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from stable_diffusion_lab.error import DataError
from stable_diffusion_lab.extractor import base
from stable_diffusion_lab.extractor.base import Extractor, TrainingData
from stable_diffusion_lab.file.cache import keep
from stable_diffusion_lab.seeding import fold, seeded

BATCH = 128
PEAK_RATE = 3e-3
log = logging.getLogger(__name__)
_WEIGHTS = "weights.pt"


class Supervised(Extractor):
    """The last hidden layer of a classifier.

    Trained once on the training split, on the CPU, and kept in the cache under a name that changes with
    the data, the settings and the source that makes it: of the network, of what it sees of a sample, and of
    its training. The judge is the same for all runs on a machine.

    Args:
        build: makes the body: samples ``[B, ...]`` to ``[B, feature_dim]``.
        feature_dim: width of the last hidden layer.
        steps: batches of 128 to train for.
        seed: initial weights and order of the data.
    """

    #: Says, in an error, which member of the family needs no labels.
    without_labels: ClassVar[str]

    def __init__(self, build: Callable[[], nn.Sequential], feature_dim: int, steps: int, seed: int) -> None:
        with seeded(fold(seed)):
            super().__init__(build(), feature_dim)
        self.steps = steps
        self.seed = seed

    def prepare(self, data: TrainingData, cache: Path) -> None:
        """Load the weights from the cache, or train and put them there.

        Raises:
            DataError: if the data has no labels.
            DiskError: if the cache cannot be written.
        """
        samples, labels = data.train.some()
        if labels is None:
            remedy = f"say extractor={self.without_labels}"
            raise DataError("DATA-LABELS", f"{data.name} has no labels to train a classifier on; {remedy}")
        folder = cache / f"classifier-{data.name}-{self._key(data)}"

        def fill(part: Path) -> None:
            log.info("training the classifier that judges samples; kept in %s", folder)
            self._train(samples, labels)
            self.calibrate(samples)
            with (part / _WEIGHTS).open("wb") as file:  # given a path, torch hides a full disk
                torch.save(self.state_dict(), file)

        keep(folder, self._recall, fill)

    def _recall(self, folder: Path) -> bool:
        """Take the weights out of a folder; false if they are not there or damaged."""
        try:
            weights = torch.load(folder / _WEIGHTS, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, UnpicklingError):
            return False
        self.load_state_dict(weights)
        return True

    def _key(self, data: TrainingData) -> str:
        package = Path(__file__).parents[1]
        files = {Path(__file__), Path(base.__file__), Path(inspect.getfile(type(self)))}
        files |= {package / "extractor" / "spectrogram.py", *(package / "modality").glob("*.py")}
        files |= {package / "layer" / "spectrum.py", package / "seeding.py"}
        source = b"".join(file.read_bytes() for file in sorted(files))
        parts = f"{data.fingerprint} {self.body} {self.steps} {self.seed}".encode()
        constants = b"".join(buffer.cpu().numpy().tobytes() for buffer in self.body.buffers())
        return hashlib.sha256(parts + source + constants).hexdigest()[:16]

    @torch.enable_grad()
    def _train(self, samples: Tensor, labels: Tensor) -> None:
        """Adam with a one-cycle rate over ``steps`` batches drawn with replacement."""
        self.body.requires_grad_(True)
        with seeded(fold(self.seed, 1)):
            network = nn.Sequential(self.body, nn.Linear(self.feature_dim, int(labels.max()) + 1))
            optimizer = torch.optim.AdamW(network.parameters())
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=self.steps)
            for _ in range(self.steps):
                chosen = torch.randint(len(labels), (BATCH,))
                logits = network(self.modality.to_sample(samples[chosen]))
                loss = functional.cross_entropy(logits, labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        self.body.requires_grad_(False)
