"""The smallest generators, refiners and pairs that an objective can be tried on."""

import math
import re
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.draft.latents import Latents
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.generator.base import Generator
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.refiner.base import Refiner

CONF = Path(__file__).parent.parent / "conf"
IMAGE = (1, 8, 8)
LATENT_DIM = 6


CLASSES = 2


class LinearGenerator(Generator):
    """x = A z, of two classes by the sign of its first entry."""

    def __init__(self, noise_dim: int, shape: tuple[int, ...]) -> None:
        super().__init__(noise_dim, shape)
        self.net = nn.Linear(noise_dim, math.prod(shape))

    def forward(self, noise: Tensor) -> Tensor:
        return self.net(noise).view(len(noise), *self.shape)

    def label(self, noise: Tensor) -> Tensor:
        return (noise[:, 0] > 0).long()


class LinearRefiner(Refiner):
    """A VAE of two linear maps."""

    def __init__(self, shape: tuple[int, ...], latent_dim: int, decoder_scale: float = 0.5) -> None:
        super().__init__(shape, latent_dim, decoder_scale)
        self.encoder = nn.Linear(math.prod(shape), 2 * latent_dim)
        self.decoder = nn.Linear(latent_dim, math.prod(shape))

    def encode(self, x: Tensor) -> Posterior:
        return Posterior(*self.encoder(x.flatten(1)).chunk(2, dim=1))

    def decode(self, h: Tensor) -> Tensor:
        return self.decoder(h).view(len(h), *self.shape)


def pair_in_latents(shape: tuple[int, ...] = IMAGE) -> Pair:
    generator = LinearGenerator(LATENT_DIM, (LATENT_DIM,))
    return Pair(generator, LinearRefiner(shape, LATENT_DIM), Latents())


def pair_in_pixels(shape: tuple[int, ...] = IMAGE) -> Pair:
    return Pair(LinearGenerator(LATENT_DIM, shape), LinearRefiner(shape, LATENT_DIM), Pixels())


def situation(pair: Pair, real: int = 9, generated: int = 7, dtype: torch.dtype = torch.float32) -> Any:
    """A batch of data and a draft of another size, for the pair in the given type."""
    pair.to(dtype)
    clean = torch.rand(real, *pair.refiner.shape, dtype=dtype) * 2 - 1
    noise = torch.randn(generated, pair.generator.noise_dim, dtype=dtype)
    return Batch(clean, torch.arange(real) % CLASSES), Draft(noise, pair.generator(noise))


class NothingSent(TorchDispatchMode):
    """Refuses to copy from the CPU to another device, as a step that waits for nothing does not."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default:
            assert found.device == args[0].device
        return found


def members(group: str) -> list[str]:
    """Names of the YAML files of a config group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


# Objectives that hold a draft against the very sample that it was made for: only where something is observed.
PAIRED = {"completions", "correction", "energy_score", "reconstruction"}


def objectives() -> list[str]:
    """Names of the objectives that need nothing to be observed."""
    return [name for name in members("objective") if name not in PAIRED]


def command(group: str, name: str) -> list[str]:
    """What the YAML's own comment says to type for it: the line that chooses or sets it, or its name."""
    chosen = re.compile(rf"{group}=(?:.*[\[,])?{name}(?:[\],].*)?|{group}\.{name}\..*")
    for comment in re.findall(r"^#.*$", (CONF / group.split("@")[0] / f"{name}.yaml").read_text(), re.M):
        words: list[str] = re.findall(r"[+\w@.]+=[^\s;()]+", comment)
        if any(map(chosen.fullmatch, words)):
            return words
    return [f"{group}={name}"]


def small_command(group: str, name: str) -> list[str]:
    """The same, with short recordings."""
    words = command(group, name)
    return [*words, "data.length=512"] if "data=spoken_digits" in words else words


def build(group: str, name: str, pair: Pair, *overrides: str) -> Any:
    """What the YAML ``group/name`` describes, with the interpolations that ``pair`` answers."""
    critic = "convolutional" if len(pair.generator.shape) == 3 else "mlp"
    facts = [
        f"++data.shape={list(pair.refiner.shape)}",
        f"++generator.shape={list(pair.generator.shape)}",
        f"++generator.noise_dim={pair.generator.noise_dim}",
        f"++generator.classes={CLASSES}",
        f"++refiner.decoder_scale={pair.refiner.decoder_scale}",
    ]
    chosen = [f"{group}={name}"] if group == "critic" else [f"critic={critic}", f"{group}={name}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=[*chosen, *facts, *overrides])
    return instantiate(config.get(group, {}), _convert_="object")


def players(pair: Pair, objective: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Parameters of everyone who learns."""
    modules = {"generator": pair.generator, "refiner": pair.refiner, **dict(objective.players())}
    return {name: list(module.parameters()) for name, module in modules.items()}
