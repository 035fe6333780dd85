"""How a waveform with gaps would go on, by what is around them."""

import torch
from torch import Tensor
from torch.nn import functional

_TEMPLATE = 160  # last values before a gap that the period has to explain: 20 ms of speech at 8 kHz
_SHORTEST, _LONGEST = 20, 240  # periods that are tried: 400 Hz to 33 Hz there
_AT_ONCE = 256  # gaps


def continued(x: Tensor, seen: Tensor) -> Tensor:
    """Waveforms in which each gap goes on from its left with its last period, again and again.

    The period is the lag at which what comes before the gap resembles itself most, by its normalised
    correlation; the way in which telephones conceal lost packets (ITU-T G.711, appendix I).

    Args:
        x: ``[B, C, T]``, 0 in gaps.
        seen: 1 outside of gaps, 0 in them, ``[B, 1, T]``.

    Returns:
        ``[B, C, T]``; outside of gaps ``x`` itself, and 0 in a gap with nothing before it.
    """
    hidden = seen[:, 0] == 0
    begins = hidden & ~functional.pad(hidden, (1, 0))[:, :-1]
    begins[:, 0] = False
    row, start = begins.nonzero(as_tuple=True)
    if len(row) == 0:
        return x
    before = functional.pad(x, (_TEMPLATE + _LONGEST, 0)).unfold(2, _TEMPLATE + _LONGEST, 1)
    parts = zip(row.split(_AT_ONCE), start.split(_AT_ONCE), strict=True)
    period = torch.cat([_period(before[r, :, s]) for r, s in parts])
    at = torch.arange(x.shape[2], device=x.device)
    last = torch.where(hidden, -1, at).cummax(dim=1).values  # the last that was seen, -1 before the first
    number = (begins.flatten().cumsum(0).view_as(hidden) - 1).clamp_min(0)  # of the gap, over all samples
    turn = period[number]
    source = (last + 1 - turn + (at - last - 1) % turn).clamp_min(0)
    copied = x.gather(2, source[:, None].expand_as(x))
    return torch.where((hidden & (last >= 0))[:, None], copied, x)


def _period(before: Tensor) -> Tensor:
    """Lag of the greatest normalised correlation of the ends of ``[N, C, template + longest]``, ``[N]``."""
    earlier = before.unfold(2, _TEMPLATE, 1)[:, :, :-_SHORTEST]  # [N, C, lags, template], longest lag first
    end = before[:, :, None, -_TEMPLATE:]
    energy = earlier.square().sum(dim=(1, 3)) * end.square().sum(dim=(1, 3))
    alike = (earlier * end).sum(dim=(1, 3)) / energy.sqrt().clamp_min(torch.finfo(before.dtype).tiny)
    return _LONGEST - alike.argmax(dim=1)


def loudness(x: Tensor, seen: Tensor, width: int) -> Tensor:
    """Root mean square of waveforms, of gaps that of their two sides with a straight line of power between.

    Between two silences it is exactly 0.

    Args:
        x: ``[B, C, T]``, 0 in gaps.
        seen: 1 outside of gaps, 0 in them, ``[B, 1, T]``.
        width: so many values on either side of each place, or of its gap, are looked at.

    Returns:
        ``[B, 1, T]``; 0 where nothing is seen at all.
    """
    length = x.shape[2]
    at = torch.arange(length, device=x.device).expand_as(seen)
    hidden = seen == 0
    left = torch.where(hidden, -1, at).cummax(dim=2).values
    right = length - 1 - torch.where(hidden.flip(2), -1, at).cummax(dim=2).values.flip(2)
    power = x.square().mean(dim=1, keepdim=True) * seen
    window = x.new_ones(1, 1, width)

    def mean(margin: tuple[int, int], place: Tensor) -> Tensor:
        total, count = (
            functional.conv1d(functional.pad(y, margin), window) for y in (power, seen.to(x.dtype))
        )
        return (total / count.clamp_min(1)).gather(2, place.clamp(0, length - 1))

    way = torch.where(hidden, (at - left) / (right - left).clamp_min(1), 0.5)
    way = torch.where(left < 0, 1.0, torch.where(right >= length, 0.0, way))
    before, after = mean((width - 1, 0), left), mean((0, width - 1), right)
    return ((1 - way) * before + way * after).sqrt()
