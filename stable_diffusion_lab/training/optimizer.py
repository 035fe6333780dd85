"""One optimiser with a parameter group for each player."""

from collections.abc import Mapping, Sequence

from torch import nn, optim

from stable_diffusion_lab.bounds import Decay, PositiveFloat


class PlayerAdam:
    """Builds Adam (Kingma & Ba 2015) with a learning rate for each player.

    Two time scales take the place of several critic steps per generator step (Heusel et al. 2017).

    Args:
        generator: learning rate of the generator.
        refiner: learning rate of the refiner.
        adversary: learning rate of everything that an objective owns: critics, inference networks.
        betas: decay of the running moments of generator and adversaries. A first moment near zero suits
            adversarial objectives, 0.9 suits the others.
        refiner_betas: the same for the refiner.
    """

    def __init__(
        self,
        generator: PositiveFloat = 1e-3,
        refiner: PositiveFloat = 2e-3,
        adversary: PositiveFloat = 1e-3,
        betas: tuple[Decay, Decay] = (0.9, 0.99),
        refiner_betas: tuple[Decay, Decay] = (0.9, 0.99),
    ) -> None:
        self.adversary = adversary
        self.betas = tuple(betas)
        self.rates = {"generator": generator, "refiner": refiner}
        self.refiner_betas = tuple(refiner_betas)

    def __call__(self, players: Mapping[str, Sequence[nn.Parameter]]) -> optim.Adam:
        """Optimiser whose groups carry ``player`` (the name) and ``peak_lr`` (before any schedule)."""
        groups = [
            {
                "player": player,
                "params": list(parameters),
                "lr": self.rates.get(player, self.adversary),
                "peak_lr": self.rates.get(player, self.adversary),
                "betas": self.refiner_betas if player == "refiner" else self.betas,
            }
            for player, parameters in players.items()
        ]
        return optim.Adam(groups, fused=True)
