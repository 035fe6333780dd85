"""Repairs without learning, each of a whole batch of observations: what a restorer has to be better than.

They see what the pair sees, and no more: what was observed, and where nothing was.
"""

from collections.abc import Callable

import cv2
import noisereduce
import numpy as np
import torch
from scipy.signal import lfilter, wiener
from skimage.restoration import denoise_nl_means, estimate_sigma, inpaint_biharmonic
from torch import Tensor

from stable_diffusion_lab.batch import Observation

Array = np.ndarray
Repair = Callable[[Array, Array], Array]  # a sample [H, W, C] or [T] in [-1, 1], and where it is lost

ORDER = 32  # of autoregressive interpolation
ROUNDS = 200  # of conjugate gradients in it


def _bytes(image: Array) -> Array:
    return ((image.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)


def telea(image: Array, lost: Array) -> Array:
    """Fast marching (Telea 2004), OpenCV."""
    return cv2.inpaint(_bytes(image), lost.astype(np.uint8), 3, cv2.INPAINT_TELEA) / 127.5 - 1


def navier_stokes(image: Array, lost: Array) -> Array:
    """Fluid dynamics (Bertalmio et al. 2001), OpenCV."""
    return cv2.inpaint(_bytes(image), lost.astype(np.uint8), 3, cv2.INPAINT_NS) / 127.5 - 1


def biharmonic(image: Array, lost: Array) -> Array:
    """Biharmonic equations (Damelin & Hoang 2018), scikit-image."""
    return inpaint_biharmonic(image, lost, channel_axis=2)


def non_local_means(image: Array, lost: Array) -> Array:
    """Non-local means (Buades et al. 2005) with the noise it estimates by itself, scikit-image."""
    if image.shape[2] == 1:  # scikit-image loses an axis of one channel
        return non_local_means(np.repeat(image, 2, axis=2), lost)[..., :1]
    sigma = float(np.mean(estimate_sigma(image, channel_axis=2)))
    return denoise_nl_means(image, h=0.8 * sigma, sigma=sigma, patch_size=5, patch_distance=6, channel_axis=2)


def wiener_image(image: Array, lost: Array) -> Array:
    """Wiener's filter in windows of 5 x 5, scipy."""
    return np.stack([wiener(channel, 5) for channel in np.moveaxis(image, 2, 0)], axis=2)


def wiener_sound(wave: Array, lost: Array) -> Array:
    """Wiener's filter in windows of 11 samples, scipy."""
    return wiener(wave, 11)


def spectral_gating(wave: Array, lost: Array) -> Array:
    """Non-stationary spectral gating, noisereduce. Its rate only sets smoothing times."""
    return noisereduce.reduce_noise(y=wave, sr=8000)


def linear(wave: Array, lost: Array) -> Array:
    """A straight line over each gap."""
    places = np.arange(len(wave))
    return np.interp(places, places[~lost], wave[~lost])


def autoregressive(wave: Array, lost: Array) -> Array:
    """Gaps filled so that the residual of an autoregressive model is least (Janssen et al. 1986).

    Unlike there the model is fitted once, by least squares to what of the wave lies outside of the gaps.
    """
    known = np.lib.stride_tricks.sliding_window_view(~lost, ORDER + 1).all(axis=1)
    rows = np.lib.stride_tricks.sliding_window_view(wave, ORDER + 1)[known]
    past, now = rows[:, :-1], rows[:, -1]
    weights = np.linalg.solve(past.T @ past + 1e-6 * np.eye(ORDER), past.T @ now)
    return _least_residual(linear(wave, lost), lost, np.concatenate([[1.0], -weights[::-1]]))


def _least_residual(wave: Array, lost: Array, kernel: Array) -> Array:
    """Conjugate gradients on the lost samples for the least sum of squares of the filtered wave."""

    def curvature(x: Array) -> Array:
        return lfilter(kernel, 1, lfilter(kernel, 1, x)[::-1])[::-1] * lost

    x, residual = wave.copy(), -curvature(wave)
    direction, size = residual, residual @ residual
    for _ in range(ROUNDS):
        if size < 1e-12:
            break
        bent = curvature(direction)
        step = size / (direction @ bent)
        x = x + step * direction
        residual = residual - step * bent
        size, before = residual @ residual, size
        direction = residual + size / before * direction
    return x


IMAGES: dict[bool, dict[str, Repair]] = {
    True: {"Telea": telea, "Navier-Stokes": navier_stokes, "biharmonic": biharmonic},
    False: {"non-local means": non_local_means, "Wiener": wiener_image},
}
SOUNDS: dict[bool, dict[str, Repair]] = {
    True: {"linear": linear, "autoregressive": autoregressive},
    False: {"Wiener": wiener_sound, "spectral gating": spectral_gating},
}


def repairs(observed: Observation) -> dict[str, Repair]:
    """Those that are made for what is wrong: parts that are lost, or noise over everything."""
    return (IMAGES if observed.sample.dim() == 4 else SOUNDS)[bool((observed.seen == 0).any())]


def repaired(observed: Observation, repair: Repair) -> Tensor:
    """All samples ``[B, ...]`` after a repair, what is exact left as it is."""
    waves = observed.sample.dim() == 3
    found = []
    for sample, seen in zip(observed.sample.double().numpy(), observed.seen.numpy(), strict=True):
        lost = seen[0] == 0
        if waves:
            found.append(np.stack([repair(channel, lost) for channel in sample]))
        else:
            found.append(_channels_first(repair(np.moveaxis(sample, 0, 2), lost)))
    whole = torch.from_numpy(np.stack(found)).float().clamp(-1, 1)
    return torch.where(observed.exact > 0, observed.sample, whole)


def _channels_first(image: Array) -> Array:
    return np.moveaxis(image[..., None] if image.ndim == 2 else image, 2, 0)
