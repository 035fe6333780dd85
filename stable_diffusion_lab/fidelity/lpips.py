"""How different images look."""

from pathlib import Path
from typing import ClassVar

import torch
import torchmetrics.functional.image.lpips as reference
from torch import Tensor, nn
from torch.nn import functional as F

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.fidelity.base import Fidelity
from stable_diffusion_lab.file import tensor_file

LAYERS = (1, 4, 7, 9, 11)  # the rectified convolutions
LEAST = 64  # pixels; of fewer, the last layers would see nothing
# Of images in [-1, 1]: what the network's mean and deviation of the channels become there.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class LPIPS(Fidelity):
    """Learned perceptual image patch similarity with AlexNet, version 0.1 (Zhang et al. 2018).

    The network's weights come out of a file that you have; how its channels count comes with torchmetrics.
    Grey images are repeated, and images below 64 pixels enlarged to that.

    Args:
        path: state dict of torchvision's AlexNet, as ``torch.save`` writes it.

    Raises:
        CheckpointError: if the file is missing, damaged or holds other weights.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"lpips": False}

    def __init__(self, path: str) -> None:
        file = Path(path)
        weights = tensor_file.read(file)
        self.features = alexnet()
        if isinstance(weights, dict):
            weights = {
                name.removeprefix("features."): weight
                for name, weight in weights.items()
                if not str(name).startswith("classifier.")
            }
        tensor_file.fit(self.features, weights, file, "the layers of AlexNet")
        self.features.requires_grad_(False).eval()
        calibration = Path(reference.__file__).parent / "lpips_models" / "alex.pth"
        self.counts = list(torch.load(calibration, map_location="cpu", weights_only=True).values())

    def __call__(self, restored: Tensor, clean: Tensor, observed: Observation) -> dict[str, Tensor]:
        if clean.dim() != 4 or clean.shape[1] not in (1, 3):
            message = f"samples are {list(clean.shape[1:])}, neither grey nor RGB images; leave it out"
            raise ConfigError("CFG-FIT", f"fidelity.lpips: {message}")
        self.features.to(clean.device)
        distance = clean.new_zeros(len(clean))
        pairs = zip(self.look(restored), self.look(clean), self.counts, strict=True)
        for a, b, count in pairs:
            distance += (count.to(clean) * (a - b).square()).sum(dim=1).mean(dim=(1, 2))
        return {"lpips": distance}

    def look(self, x: Tensor) -> list[Tensor]:
        """Outputs of the layers for images ``[B, C, H, W]``, each of length 1 along its channels."""
        shift, scale = (torch.tensor(values).to(x)[:, None, None] for values in (SHIFT, SCALE))
        x = (x.expand(-1, 3, -1, -1) - shift) / scale
        if min(x.shape[2:]) < LEAST:
            x = F.interpolate(x, scale_factor=LEAST / min(x.shape[2:]), mode="bilinear")
        found = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in LAYERS:
                found.append(x * (x.square().sum(dim=1, keepdim=True) + 1e-8).rsqrt())
        return found


def alexnet() -> nn.Sequential:
    """The convolutions of AlexNet as torchvision has them (Krizhevsky 2014), without the last pooling."""

    def convolution(channels_in: int, channels_out: int, size: int, stride: int, pad: int) -> list[nn.Module]:
        return [nn.Conv2d(channels_in, channels_out, size, stride, pad), nn.ReLU()]

    return nn.Sequential(
        *convolution(3, 64, 11, 4, 2),
        nn.MaxPool2d(3, 2),
        *convolution(64, 192, 5, 1, 2),
        nn.MaxPool2d(3, 2),
        *convolution(192, 384, 3, 1, 1),
        *convolution(384, 256, 3, 1, 1),
        *convolution(256, 256, 3, 1, 1),
    )
