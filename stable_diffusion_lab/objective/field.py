"""Learning by following a vector field on samples: the flow reading of the reverse KL divergence."""

from abc import abstractmethod

import torch
from torch import Tensor

from stable_diffusion_lab.layer.pairwise import typical_distance
from stable_diffusion_lab.layer.widen import widen
from stable_diffusion_lab.objective.comparing import Comparing
from stable_diffusion_lab.ranks import gather, own_rows


def displace(x: Tensor, step: Tensor, value: Tensor) -> Tensor:
    """Regression of points on where they are plus a step, held constant, that reports another value.

    The gradient is that of mean (x - sg(x + step))^2; the value of that would be mean step^2, whatever x.

    Args:
        x: ``[N, ...]``.
        step: ``[N, ...]``.
        value: scalar.
    """
    loss = (x - (x + step).detach()).square().mean()
    return loss + (value - loss).detach()


class VectorField(Comparing):
    """Moves every generated sample along a field that vanishes where both distributions agree.

    The generator regresses on its own output displaced by the field V, held constant (Deng et al. 2026,
    arXiv 2602.04770, section 3):

        loss = mean (x/s - sg(x/s + V))^2,   V = sum_t V_t / rms(V_t),   s = rms |x - t| / sqrt(D),

    with t all generated and real points. Its *gradient* is what trains. Its *value* would be constant by
    construction, so the term reports rms(V_t) before normalisation instead, averaged over t: how far, in
    units of s, the samples still want to move. It falls as the distributions meet.

    The points of all ranks make one field, so several processes learn what one does from the same batch.
    """

    @abstractmethod
    def field(self, generated: Tensor, real: Tensor) -> Tensor:
        """Where generated points want to go, before normalisation.

        Args:
            generated: ``[N, D]``, in units of s.
            real: ``[M, D]``, in units of s.

        Returns:
            One field per temperature, ``[T, N, D]``.
        """

    def terms(self, generated: Tensor, real: Tensor) -> dict[str, Tensor]:
        return {"generator": self.follow(generated.flatten(1), real.flatten(1))}

    def follow(self, generated: Tensor, real: Tensor) -> Tensor:
        """The loss for generated ``[N, D]`` and real ``[M, D]`` points; half precision is widened."""
        with torch.autocast(generated.device.type, enabled=False):
            generated = widen(generated)
            step, size, unit = self.step(gather(generated), gather(widen(real)))
            mine = own_rows(step, len(generated))
            return displace(generated / unit, mine, size)

    @torch.no_grad()
    def step(self, generated: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """V ``[N, D]``, its size before normalisation, and the unit s of length."""
        everything = torch.cat([generated, real])
        unit = typical_distance(generated, everything) / generated.shape[1] ** 0.5
        unit = unit.clamp_min(torch.finfo(unit.dtype).tiny)
        fields = self.field(generated / unit, real / unit)
        size = fields.square().mean(dim=(1, 2), keepdim=True).sqrt()
        # The floor keeps rounding errors from being blown up to full size where the field vanishes.
        return (fields / size.clamp_min(1e-6)).sum(0), size.mean(), unit
