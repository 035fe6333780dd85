"""Language models that draw texts token by token: what a pair that drafts texts is held against."""

import time
from abc import ABC, abstractmethod

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional

from stable_diffusion_lab.layer.attention import Block
from stable_diffusion_lab.layer.drawing import truncated
from stable_diffusion_lab.layer.ending import END, alive
from stable_diffusion_lab.measure.ngram_model import NGramModel

BATCH = 64
PEAK_RATE = 2e-3


class Rival(ABC):
    """Draws texts token by token."""

    @abstractmethod
    def nats(self, stored: Tensor) -> float:
        """Mean -log p of a token of texts ``[N, L]``."""

    @abstractmethod
    def log_probs(self, written: Tensor) -> Tensor:
        """log p of each next token ``[N, V]`` after what is written ``[N, t]``."""

    def draw(self, n: int, length: int, seed: int, temperature: float = 1.0, min_p: float = 0.0) -> Tensor:
        """Texts ``[n, length]`` at a temperature, of tokens no less probable than a share of the largest."""
        rng = torch.Generator().manual_seed(seed)
        written = torch.zeros(n, 0, dtype=torch.int64)
        for _ in range(length):
            chances = truncated((self.log_probs(written) / temperature).softmax(dim=1), min_p)
            drawn = torch.multinomial(chances, 1, generator=rng)
            ended = (written == END).any(dim=1, keepdim=True)
            written = torch.cat([written, drawn.masked_fill(ended, END)], dim=1)
        return written


class Network(Rival, nn.Module):
    """A language model that learns by maximum likelihood. Token 0, the end, also stands before the text."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)

    @abstractmethod
    def forward(self, before: Tensor) -> Tensor:
        """Scores ``[N, t, V]`` of the tokens that follow each of ``[N, t]``."""

    def losses(self, stored: Tensor) -> tuple[Tensor, Tensor]:
        """-log p of each token, and which are of the text, ``[N, L]``."""
        tokens = stored.long()
        scores = self(functional.pad(tokens, (1, 0))[:, :-1])
        return functional.cross_entropy(scores.mT, tokens, reduction="none"), alive(tokens == END)

    def learn(self, train: Tensor, seconds: float) -> "Network":
        """Adam with half a cosine, for so many seconds of this process."""
        optimizer = torch.optim.Adam(self.parameters(), PEAK_RATE, betas=(0.9, 0.99))
        begun = time.process_time()
        while (share := (time.process_time() - begun) / seconds) < 1:
            for group in optimizer.param_groups:
                group["lr"] = PEAK_RATE * 0.5 * (1 + float(numpy.cos(numpy.pi * share)))
            each, inside = self.losses(train[torch.randint(len(train), (BATCH,))])
            optimizer.zero_grad()
            (each * inside).sum().div(inside.sum()).backward()
            nn.utils.clip_grad_norm_(self.parameters(), 1.0)
            optimizer.step()
        return self.eval()

    @torch.no_grad()
    def nats(self, stored: Tensor) -> float:
        each, inside = self.losses(stored)
        return each[inside].mean().item()

    @torch.no_grad()
    def log_probs(self, written: Tensor) -> Tensor:
        return self(functional.pad(written, (1, 0)))[:, -1].log_softmax(dim=1)


class GRU(Network):
    """One recurrent layer."""

    def __init__(self, vocabulary: int, width: int = 64, hidden_dim: int = 256) -> None:
        super().__init__(vocabulary, width)
        self.body = nn.GRU(width, hidden_dim, batch_first=True)
        self.leave = nn.Linear(hidden_dim, vocabulary)

    def forward(self, before: Tensor) -> Tensor:
        return self.leave(self.body(self.embedding(before))[0])


class GPT(Network):
    """A small decoder-only transformer."""

    def __init__(
        self, vocabulary: int, length: int, width: int = 128, heads: int = 4, blocks: int = 3
    ) -> None:
        super().__init__(vocabulary, width)
        self.places = nn.Parameter(torch.randn(length + 1, width) * 0.02)
        self.body = nn.Sequential(*(Block(width, heads, causal=True) for _ in range(blocks)))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, vocabulary))

    def forward(self, before: Tensor) -> Tensor:
        return self.leave(self.body(self.embedding(before) + self.places[: before.shape[1]]))


class NGrams(Rival):
    """Interpolated n-grams of the training text, before which stands a token of its own."""

    def __init__(self, train: Tensor, vocabulary: int, order: int = 6) -> None:
        self.vocabulary = vocabulary
        self.model = NGramModel(self.begun(train), order, vocabulary + 1)

    def begun(self, stored: Tensor) -> Tensor:
        return functional.pad(stored.long(), (1, 0), value=self.vocabulary)

    def nats(self, stored: Tensor) -> float:
        each, inside = self.model.log_prob(self.begun(stored))
        return float(-each[:, 1:][inside[:, 1:]].mean())

    def log_probs(self, written: Tensor) -> Tensor:
        before = self.begun(written)[:, -(self.model.order - 1) :].repeat_interleave(self.vocabulary, dim=0)
        following = torch.arange(self.vocabulary).repeat(len(written))[:, None]
        each, _ = self.model.log_prob(torch.cat([before, following], dim=1))
        return torch.from_numpy(each[:, -1]).view(len(written), self.vocabulary)
