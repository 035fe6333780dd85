"""Drafts among the embeddings of tokens."""

from collections.abc import Sequence

from torch import Tensor

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.bounds import PositiveFloat
from stable_diffusion_lab.draft.base import Completion, DraftSpace
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.layer.straight_through import most_probable
from stable_diffusion_lab.refiner import sequence
from stable_diffusion_lab.refiner.base import Refiner


class Embeddings(DraftSpace):
    """The generator draws a point for each token; it says the nearest embedding in the refiner's table.

    The comparison happens among sequences of points ``[L, D]``, with the embeddings of real text: a point
    between two tokens is near both, so that objectives need no gradient through a choice. The table is the
    one with which the refiner reads. It is a constant here, like all of the refiner.

    Args:
        stages: see ``DraftSpace``.
        temperature: where a draft is read as tokens the gradient is that of a softmax over -|c - e|^2 /
            temperature (straight-through).

    Raises:
        ConfigError: later on, if the refiner reads no tokens.
    """

    def __init__(
        self, stages: Sequence[str] = ("draft", "refined"), temperature: PositiveFloat = 1.0
    ) -> None:
        super().__init__(stages)
        self.temperature = temperature

    def render(
        self,
        code: Tensor,
        refiner: Refiner,
        noise: Tensor | None = None,
        observed: Observation | None = None,
    ) -> Tensor:
        table = _reader(refiner).embedding
        near = 2 * code @ table.T - table.square().sum(dim=1)  # and -|code|^2, which all tokens share
        return most_probable((near / self.temperature).softmax(dim=-1))

    def embed(self, clean: Tensor, refiner: Refiner) -> Tensor:
        return _reader(refiner).embed(clean)

    def complete(self, code: Tensor, complete: Completion) -> Tensor:
        return code  # what is known of a text is known of its tokens

    def refine(self, code: Tensor, refiner: Refiner, complete: Completion) -> Tensor:
        return self.embed(complete(refiner(complete(self.render(code, refiner)))), refiner)


def _reader(refiner: Refiner) -> sequence.Sequence:
    """The refiner, which has to be one of texts."""
    if not isinstance(refiner, sequence.Sequence):
        message = "embeddings are of tokens; say refiner=autoregressive, transformer or gru, or draft=latents"
        raise ConfigError("CFG-FIT", f"draft: {message}")
    return refiner
