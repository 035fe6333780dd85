"""How well a simple model of the training text predicts samples."""

from typing import ClassVar

import numpy
from torch import Tensor

from stable_diffusion_lab.bounds import PositiveInt
from stable_diffusion_lab.measure.base import TextMeasure
from stable_diffusion_lab.measure.ngram_model import NGramModel


class Perplexity(TextMeasure):
    """exp of the mean -log p of a token under an n-gram model of training text (``ngram_ppl``).

    Below the floor samples are more predictable than text: they repeat what is most frequent. The floor
    itself has been seen by the model; ``ngram_ppl_real`` is that of held-out text, the target.

    Args:
        order: longest n-gram in tokens.
    """

    higher_is_better: ClassVar[dict[str, bool]] = {"ngram_ppl": False, "ngram_ppl_real": False}

    def __init__(self, order: PositiveInt = 5) -> None:
        self.order = order

    def learn(self, train: Tensor) -> None:
        self.model = NGramModel(train, self.order, self.modality.tokenizer.size)

    def __call__(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        return {"ngram_ppl": self.of(generated), "ngram_ppl_real": self.of(real)}

    def of(self, stored: Tensor) -> float:
        """Perplexity of texts ``[N, L]``."""
        each, inside = self.model.log_prob(stored)
        return float(numpy.exp(-each[inside].mean()))
