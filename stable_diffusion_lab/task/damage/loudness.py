"""Disturbances of a given loudness."""

from torch import Tensor

LEAST = 1e-12  # power of a disturbance that is silent, -120 dB


def disturbed(sample: Tensor, disturbance: Tensor, ratio: Tensor) -> Tensor:
    """Samples with something added at a signal-to-noise ratio: of the powers that both really have.

    The gain is taken as given: gradients are those of the sample alone. Silence stays silent.

    Args:
        sample: ``[B, ...]``.
        disturbance: likewise, of any loudness.
        ratio: signal to noise in dB, ``[B, 1, ...]``.
    """
    signal, noise = (_power(x.detach()) for x in (sample, disturbance))
    return sample + (signal / noise.clamp_min(LEAST) * 10 ** (-ratio / 10)).sqrt() * disturbance


def _power(x: Tensor) -> Tensor:
    return x.square().mean(dim=list(range(1, x.dim())), keepdim=True)
