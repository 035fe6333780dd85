"""Features of text: which short sequences of tokens it has."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from stable_diffusion_lab.bounds import PositiveInt, Seed
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.extractor.base import Extractor, TrainingData
from stable_diffusion_lab.layer.ending import END
from stable_diffusion_lab.seeding import fold, seeded


class NGrams(Extractor):
    """A fixed random network that sees up to ``longest`` tokens at once, averaged over the text.

    What a random convolution answers to is a random set of n-grams; averages over positions are their
    frequencies, and what comes after the end of a text does not count.

    Args:
        shape: ``(L, V)`` of a sample.
        feature_dim: width of a feature vector; divisible by ``longest``.
        longest: most tokens seen at once.
        seed: which network.

    Raises:
        ConfigError: if ``shape`` is not that of a text, or features cannot be shared out.
    """

    def __init__(
        self, shape: tuple[int, ...], feature_dim: PositiveInt = 60, longest: PositiveInt = 4, seed: Seed = 0
    ) -> None:
        if len(shape) != 2 or feature_dim % longest:
            found = f"{list(shape)}, {feature_dim} features"
            message = f"extractor.shape: {found}; wants [length, vocabulary], features divisible by {longest}"
            raise ConfigError("CFG-VALUE", message)
        with seeded(fold(seed)):
            super().__init__(nn.Sequential(_Averages(shape[1], feature_dim // longest, longest)), feature_dim)

    def prepare(self, data: TrainingData, cache: Path) -> None:
        """Only the unit depends on the data; nothing is kept."""
        self.modality = data.modality
        self.calibrate(data.train.some(10_000)[0])


class _Averages(nn.Module):
    def __init__(self, vocabulary: int, channels: int, longest: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Conv1d(vocabulary, channels, size) for size in range(1, longest + 1))
        for parameter in self.parameters():
            nn.init.normal_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        written = 1 - x[..., END]
        found = []
        for size, conv in enumerate(self.maps, start=1):
            seen = conv(functional.pad(x.mT, (0, size - 1))).relu() / size**0.5
            found.append((seen * written[:, None]).sum(dim=2) / written.sum(dim=1).clamp_min(1)[:, None])
        return torch.cat(found, dim=1)
