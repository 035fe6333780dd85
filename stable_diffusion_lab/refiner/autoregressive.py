"""A VAE whose decoder writes a text token by token."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stable_diffusion_lab.batch import Observation
from stable_diffusion_lab.bounds import Decay, Fraction, NonNegativeInt, PositiveFloat, PositiveInt
from stable_diffusion_lab.layer.drawing import coupled, drawn, truncated, uniform
from stable_diffusion_lab.layer.ending import END, alive, ended
from stable_diffusion_lab.layer.straight_through import most_probable
from stable_diffusion_lab.refiner.reader import Reader


class Autoregressive(Reader):
    """A transformer that reads, and a GRU that writes (Bowman et al. 2016): tokens follow from those before.

    Tokens are taken together in patches, and each patch has its share of the latents, which the decoder
    sees while it writes the patch, through another map at each place, so that it knows where it is. What it
    begins with depends on all. With ``patch = L`` the latents are one summary of the whole text, as in the
    paper.

    A decoder that sees what it has written needs no latents to write well, and may forget them (posterior
    collapse). Against that: word dropout here, free bits in the objective, and a small ``decoder_scale``.

    ``decode`` is greedy; its gradient passes each token straight through. A draft is a draw from p(x | h),
    token by token. Its refinement is written from what the encoder makes of the draft, with probable tokens
    alone, each that of the draft with as much probability as can be (see ``coupled``): improbable tokens
    give way, and what follows them stays where it still fits. Were the encoder's latents those of the
    draft, refinements would be draws from the probable part of p.

    Args:
        shape: ``(L, V)``; L divisible by ``patch``.
        latent_dim: width of the latent vector; divisible by the number of patches.
        width: of a token's embedding and of the encoder's residual stream.
        heads: of each attention of the encoder.
        blocks: of the encoder.
        hidden_dim: of the decoder's state.
        patch: tokens of a patch.
        word_dropout: share of the tokens before that the decoder does not get to see while it learns.
        temperature: of all tokens; 1 draws from p(x | h), less from what is more probable.
        min_p: a refinement has no token less probable than this share of the most probable one, but for what
            is known.
        decoder_scale: see ``Sequence``.

    Raises:
        ConfigError: if patches or latents do not come out even.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        latent_dim: PositiveInt,
        width: PositiveInt,
        heads: PositiveInt,
        blocks: NonNegativeInt,
        hidden_dim: PositiveInt,
        patch: PositiveInt,
        word_dropout: Decay,
        temperature: PositiveFloat,
        min_p: Fraction,
        decoder_scale: PositiveFloat,
    ) -> None:
        super().__init__(shape, latent_dim, decoder_scale, width, heads, blocks, patch)
        self.word_dropout = word_dropout
        self.temperature = temperature
        self.min_p = min_p
        self.noise_dim = 2 * self.length  # for the draft, and for its refinement
        self.start = nn.Parameter(torch.zeros(width))
        self.enter = nn.Linear(latent_dim, hidden_dim)
        self.feed = nn.Linear(self.local, patch * width)
        self.decoder = nn.GRU(2 * width, hidden_dim, batch_first=True)
        self.leave = nn.Linear(hidden_dim, self.vocabulary)

    def plan(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """What latents tell the decoder: its first state ``[1, B, hidden_dim]``, and ``[B, L, width]``."""
        each = self.feed(h.unflatten(1, (self.patches, -1)))
        return self.enter(h).tanh()[None], each.view(len(h), self.length, -1)

    def logits(self, h: Tensor, x: Tensor) -> Tensor:
        return self.scores(h, self.embed(x)[:, :-1])

    def distortion(self, x: Tensor, h: Tensor) -> Tensor:
        written = self.embed(x)[:, :-1]
        if self.training:
            seen = torch.rand(written.shape[:2], device=x.device) >= self.word_dropout
            written = written * seen[..., None]
        return self.surprise(x, self.scores(h, written)) / self.decoder_scale**2

    def scores(self, h: Tensor, written: Tensor) -> Tensor:
        """Scores ``[B, L, V]`` of tokens given latents and the embeddings ``[B, L - 1, width]`` before."""
        state, told = self.plan(h)
        before = torch.cat([self.start.expand(len(h), 1, -1), written], dim=1)
        states, _ = self.decoder(torch.cat([before, told], dim=2), state)
        return self.leave(states)

    def decode(self, h: Tensor) -> Tensor:
        return self.write(h, lambda scores, place: scores.softmax(dim=-1))

    def inferred(self, x: Tensor) -> Tensor:
        return self.encode(x).sample()

    def draw(self, h: Tensor, noise: Tensor, observed: Observation | None = None) -> Tensor:
        chance = uniform(noise)[:, : self.length]

        def choose(scores: Tensor, place: int) -> Tensor:
            return drawn((scores / self.temperature).softmax(dim=-1), chance[:, place])

        return self.write(h, choose, observed)

    def redraw(self, x: Tensor, noise: Tensor, observed: Observation | None = None) -> Tensor:
        h, chance, draft = self.encode(x).mean, uniform(noise)[:, self.length :], ended(most_probable(x))
        first = (self.logits(h, draft) / self.temperature).softmax(dim=-1)
        inside = alive(draft[..., END])[..., None]
        first = torch.where(inside, first, draft)  # after its end there are but ends

        def choose(scores: Tensor, place: int) -> Tensor:
            probable = truncated((scores / self.temperature).softmax(dim=-1), self.min_p)
            return coupled(draft[:, place], first[:, place], probable, chance[:, place])

        return self.write(h, choose, observed)

    def temper(self, factor: float) -> None:
        self.temperature *= factor

    def write(
        self, h: Tensor, choose: Callable[[Tensor, int], Tensor], observed: Observation | None = None
    ) -> Tensor:
        """Texts ``[B, L, V]`` of latents, each token chosen by its scores ``[B, V]`` and its place.

        What follows a token follows from its most probable value. Tokens that are known are not chosen.
        """
        state, told = self.plan(h)
        before = self.start.expand(len(h), -1)
        found: list[Tensor] = []
        for place in range(self.length):
            out, state = self.decoder(torch.cat([before, told[:, place]], dim=1)[:, None], state)
            token = choose(self.leave(out[:, 0]), place)
            if observed is not None:
                token = torch.where(observed.exact[:, place] > 0, observed.sample[:, place], token)
            found.append(token)
            before = most_probable(token) @ self.embedding
        return torch.stack(found, dim=1)
