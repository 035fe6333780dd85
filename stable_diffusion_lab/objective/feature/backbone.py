"""Features of a network that was trained elsewhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveFloat, PositiveInt, Some
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.extractor.base import TrainingData
from stable_diffusion_lab.file import tensor_file
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.feature.network import Network, refuse_vectors


class Backbone(Network):
    """Compares what some layers of a given network see, with weights out of a local file.

    The file is a state dict as ``torch.save`` writes it, read without running anything that it holds.
    TorchScript and ``torch.export`` archives are programs, and pickled modules name code: neither is taken.
    Until ``prepare`` is called the weights are whatever the network starts with.

    Args:
        network: takes images ``[B, C, H, W]``.
        path: file with its weights.
        layers: names of the submodules whose outputs are compared, e.g. ``["layer1", "layer2"]``.
        shape: ``(C, H, W)`` of a sample.
        mean: subtracted from images in [0, 1], per channel; a list longer than C repeats a grey image.
        std: what they are divided by afterwards; with mean and std of 0.5 the network sees [-1, 1].
        pool: see ``Network``.
        bank: see ``Feature``.

    Raises:
        ConfigError: if ``shape`` is not that of an image, the network cannot take it, or has no such layer.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        path: str,
        layers: Some[str],
        shape: tuple[int, ...],
        mean: Sequence[float] = (0.5,),
        std: Sequence[PositiveFloat] = (0.5,),
        pool: PositiveInt = 4,
        bank: NonNegativeInt = 0,
    ) -> None:
        super().__init__(pool, None, bank)
        refuse_vectors(shape)
        self.network = network.requires_grad_(False).eval()
        self.path = Path(path)
        self.names = tuple(layers)
        self.register_buffer("mean", torch.tensor(mean).float()[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std).float()[:, None, None], persistent=False)
        self.try_out(shape)

    def maps(self, x: Tensor, model: Pair) -> list[Tensor]:
        return self.look((0.5 * (x + 1) - self.mean) / self.std)

    def look(self, x: Tensor) -> list[Tensor]:
        """Outputs of the named layers for what the network takes, ``[B, C, H, W]``."""
        found: dict[str, Tensor] = {}

        def keep(name: str) -> Any:
            return lambda module, inputs, output: found.update({name: output})

        hooks = [self.network.get_submodule(name).register_forward_hook(keep(name)) for name in self.names]
        try:
            self.network(x)
        finally:
            for hook in hooks:
                hook.remove()
        return [found[name] for name in self.names]

    @torch.no_grad()
    def try_out(self, shape: tuple[int, ...]) -> None:
        """Send one empty image through, so that what does not fit is known at once."""
        known = [name for name, _ in self.network.named_modules() if name]
        missing = [name for name in self.names if name not in known]
        if missing or not self.names:
            raise ConfigError("CFG-VALUE", f"feature.layers: {missing}; choose from {', '.join(known)}")
        try:
            outputs = self.look((torch.zeros(1, *shape) - self.mean) / self.std)
        except (RuntimeError, KeyError) as error:
            what = f"cannot take images {list(shape)} ({str(error).splitlines()[0]})"
            raise ConfigError("CFG-VALUE", f"feature.network: {what}; see feature.mean and std") from error
        if not all(isinstance(output, Tensor) for output in outputs):
            message = f"{list(self.names)}; the output of each has to be one tensor"
            raise ConfigError("CFG-VALUE", f"feature.layers: {message}")

    def prepare(self, data: TrainingData, cache: Path) -> None:
        """Read the weights; refuses what ``tensor_file.read`` and ``fit`` refuse."""
        tensor_file.fit(self.network, tensor_file.read(self.path), self.path, "feature.network")
