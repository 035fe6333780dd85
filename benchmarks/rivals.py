"""Language models that draw texts token by token: what a pair that drafts texts is held against."""

import time
from abc import ABC, abstractmethod
from typing import Any

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
    def follow(self, token: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """log p of each next token ``[N, V]`` after one more ``[N]``, and what is remembered.

        Before a text stands an end, and nothing (``None``) is remembered.
        """

    def draw(self, n: int, length: int, seed: int, temperature: float = 1.0, min_p: float = 0.0) -> Tensor:
        """Texts ``[n, length]`` at a temperature, of tokens no less probable than a share of the largest."""
        rng = torch.Generator().manual_seed(seed)
        token, memory, ended = torch.full((n,), END), None, torch.zeros(n, dtype=torch.bool)
        written: list[Tensor] = []
        for _ in range(length):
            log_probs, memory = self.follow(token, memory)
            chances = truncated((log_probs / temperature).softmax(dim=1), min_p)
            token = torch.multinomial(chances, 1, generator=rng)[:, 0].masked_fill(ended, END)
            ended |= token == END
            written.append(token)
        return torch.stack(written, dim=1)


class Network(Rival, nn.Module):
    """A language model that learns by maximum likelihood."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)

    @abstractmethod
    def read(self, tokens: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """Scores ``[N, t, V]`` of what follows each of ``[N, t]`` more tokens, and what is remembered."""

    def losses(self, stored: Tensor) -> tuple[Tensor, Tensor]:
        """-log p of each token, and which are of the text, ``[N, L]``."""
        tokens = stored.long()
        scores, _ = self.read(functional.pad(tokens, (1, 0), value=END)[:, :-1], None)
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
    def follow(self, token: Tensor, memory: Any) -> tuple[Tensor, Any]:
        scores, memory = self.read(token[:, None], memory)
        return scores[:, 0].log_softmax(dim=1), memory


class GRU(Network):
    """One recurrent layer."""

    def __init__(self, vocabulary: int, width: int = 64, hidden_dim: int = 256) -> None:
        super().__init__(vocabulary, width)
        self.body = nn.GRU(width, hidden_dim, batch_first=True)
        self.leave = nn.Linear(hidden_dim, vocabulary)

    def read(self, tokens: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        states, memory = self.body(self.embedding(tokens), memory)
        return self.leave(states), memory


class CausalBlock(nn.Module):
    """A block whose positions see themselves and those before them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.block = Block(width, heads)

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """Positions ``[N, t, width]``; keys and values ``[2, N, heads, T, d]``, those of the past before."""
        query, *now = self.block.split(x)
        kept = torch.stack(now) if past is None else torch.cat([past, torch.stack(now)], dim=3)
        key, value = kept
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=past is None)
        return self.block.finish(x, seen), kept


class GPT(Network):
    """A small decoder-only transformer."""

    def __init__(
        self, vocabulary: int, length: int, width: int = 128, heads: int = 4, blocks: int = 3
    ) -> None:
        super().__init__(vocabulary, width)
        self.places = nn.Parameter(torch.randn(length + 1, width) * 0.02)
        self.body = nn.ModuleList(CausalBlock(width, heads) for _ in range(blocks))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, vocabulary))

    def read(self, tokens: Tensor, memory: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        begun = memory[0].shape[3] if memory else 0
        x = self.embedding(tokens) + self.places[begun : begun + tokens.shape[1]]
        kept: list[Tensor] = []
        for number, block in enumerate(self.body):
            x, own = block(x, memory[number] if memory else None)
            kept.append(own)
        return self.leave(x), kept


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

    def follow(self, token: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        if memory is None:  # of the end nothing is known here, but of the token before a text
            before = self.begun(token[:, None])[:, :1]
        else:
            before = torch.cat([memory, token[:, None]], dim=1)[:, 1 - self.model.order :]
        following = torch.arange(self.vocabulary).repeat(len(token))[:, None]
        texts = torch.cat([before.repeat_interleave(self.vocabulary, dim=0), following], dim=1)
        each, _ = self.model.log_prob(texts)
        return torch.from_numpy(each[:, -1]).view(len(token), self.vocabulary), before
