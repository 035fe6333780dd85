"""The one LightningModule: terms of all objectives, summed into one scalar with one backward."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from lightning import LightningModule
from torch import Tensor, nn

from stable_diffusion_lab.adapt.base import Adapt
from stable_diffusion_lab.batch import Batch, Draft
from stable_diffusion_lab.data.batches import Batches
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.objective.base import Objective
from stable_diffusion_lab.seeding import fold
from stable_diffusion_lab.training.leaves import leaves
from stable_diffusion_lab.training.optimizer import PlayerAdam
from stable_diffusion_lab.training.schedule import Schedule


class System(LightningModule):
    """Trains a pair. Lightning stays in automatic mode: one loss, one backward, one optimiser.

    Each objective returns terms by player, built so that a term's gradient reaches that player only. Their
    weighted sum is the loss, so plain DDP, clipping, accumulation and precision work as they are, and all
    players move at the same time. The batch counter, not the optimiser's step, keys every random number.

    Args:
        model: the pair that learns.
        refinement: objectives by name that train the refiner; active from the first batch.
        objectives: objectives by name that train the generator; active after the head start.
        adapt: weighs the terms, and may lower learning rates and attributes of what is below the system.
        schedule: when each player learns.
        optimizer: builds the optimiser from the players' parameters.
        ema_decay: decay of the running average of the pair's weights, which is what generates.
        seed: the drafts' noise is a function of (seed, batch number, sample index), all other randomness of
            (seed, batch number, rank).
    """

    def __init__(
        self,
        model: Pair,
        refinement: Mapping[str, Objective],
        objectives: Mapping[str, Objective],
        adapt: Adapt,
        schedule: Schedule,
        optimizer: PlayerAdam,
        ema_decay: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.average = copy.deepcopy(model).requires_grad_(False).eval()
        self.refinement = nn.ModuleDict(refinement)
        self.objectives = nn.ModuleDict(objectives)
        self.adapt = adapt
        self.schedule = schedule
        self.optimizer = optimizer
        self.ema_decay = ema_decay
        self.seed = seed
        self.batches_seen = 0
        self.terms: dict[str, Tensor] = {}
        self.reached: set[Tensor] = set()
        self.twins = self.averaged()
        adapt.attach(self)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        return Batch(self.batches().modality.to_sample(batch[0]), batch[1])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        draft = self.draw(batch)
        terms: dict[str, Tensor] = {}
        for name, objective in self.active().items():
            terms |= self.ask(name, objective, batch, draft)
        loss = self.adapt(terms, draft)
        self.terms = {key: term.detach() for key, term in terms.items()}
        return loss if terms and self.trainer.world_size == 1 else loss + self.absent(loss)

    def ask(self, name: str, objective: Objective, batch: Batch, draft: Draft) -> dict[str, Tensor]:
        """The terms of one objective, scalars by ``name/player[/part]``."""
        return {f"{name}/{player}": term for player, term in objective(self.model, batch, draft).items()}

    def draw(self, batch: Batch) -> Draft:
        """The generator's draft for this step; an empty one while the generator does not learn yet.

        Noise is drawn for the batch of all ranks, and each takes its rows: ranks change nothing. How samples
        are damaged is drawn by each rank for itself.
        """
        generator = self.model.generator
        if not self.schedule.learns("generator", self.batches_seen):
            return self.undrafted()
        count = len(batch.clean) * self.trainer.world_size
        rng = torch.Generator().manual_seed(fold(self.seed, self.batches_seen))
        noise = torch.randn(count, generator.noise_dim, generator=rng)
        noise = noise[self.global_rank :: self.trainer.world_size].to(self.device, non_blocking=True)
        damage = torch.Generator().manual_seed(fold(self.seed, self.batches_seen, self.global_rank, 1))
        return self.drafted(noise, batch, damage)

    def undrafted(self) -> Draft:
        """An empty draft."""
        generator = self.model.generator
        noise = torch.empty(0, generator.noise_dim, device=self.device)
        return Draft(noise, noise.new_empty(0, *generator.shape))

    def drafted(self, noise: Tensor, batch: Batch, damage: torch.Generator) -> Draft:
        """Drafts from noise ``[B, noise_dim]`` for what is observed of a batch."""
        observed = self.model.task.observe(batch.clean, damage)
        return Draft(noise, self.model.code(noise, observed), observed)

    def active(self) -> dict[str, Objective]:
        """Objectives of the players that learn now."""
        step = self.batches_seen
        refinement = self.refinement.items() if self.schedule.learns("refiner", step) else ()
        objectives = self.objectives.items() if self.schedule.learns("generator", step) else ()
        return {name: cast(Objective, objective) for name, objective in [*refinement, *objectives]}

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters by player; one that two players share belongs to the first."""
        modules = [("generator", self.model.generator), ("refiner", self.model.refiner)]
        for objective in [*self.refinement.values(), *self.objectives.values()]:
            modules += cast(Objective, objective).players()
        players: dict[str, list[nn.Parameter]] = {}
        taken: set[nn.Parameter] = set()
        for name, module in modules:
            fresh = [p for p in module.parameters() if p.requires_grad and p not in taken]
            if fresh:
                players.setdefault(name, []).extend(fresh)
                taken.update(fresh)
        return players

    def absent(self, loss: Tensor) -> Tensor:
        """Zero that depends on everything that learns: DDP wants a gradient for every parameter.

        Not every player has a term in every batch, nor every parameter of a player: what corrects drafts
        has none before there are any. Where nobody has one, a single process needs something to go backward
        from as well. What the loss does reach, which is the same on all ranks, is kept in mind.
        """
        self.reached |= leaves(loss)
        parameters = [p for group in self.trainer.optimizers[0].param_groups for p in group["params"]]
        return 0.0 * torch.stack([p.sum() for p in parameters]).sum()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self.reseed()
        for group in self.trainer.optimizers[0].param_groups:
            share = self.schedule.rate(group["player"], self.batches_seen) * self.adapt.rate
            group["lr"] = group["peak_lr"] * share
        step = self.batches_seen
        if step == self.schedule.refiner_stop and not self.schedule.learns("refiner", step):
            self.model.refiner.load_state_dict(self.average.refiner.state_dict())
        if self.batches_seen == self.schedule.generator_start:
            samples, labels = self.batches().split.some()
            self.model.generator.initialise(self.codes(samples), labels)
            self.average.generator.load_state_dict(self.model.generator.state_dict())

    def reseed(self) -> None:
        """Key all randomness of this step by (seed, batch number, rank)."""
        seed = fold(self.seed, self.batches_seen, self.global_rank)
        # torch.manual_seed also queues a call, with a stack trace, for every accelerator that is absent.
        torch.default_generator.manual_seed(seed)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(seed)

    def batches(self) -> Batches:
        """What the trainer takes its batches from."""
        return self.trainer.train_dataloader  # type: ignore[return-value]

    @torch.no_grad()
    def codes(self, stored: Tensor) -> Iterator[Tensor]:
        """Training samples ``[N, ...]`` in the generator's space, in batches ``[n, *generator.shape]``."""
        for chunk in stored.split(1024):
            yield self.model.embed(self.batches().modality.to_sample(chunk.to(self.device)))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Adam moves a parameter on a zero gradient (momentum), but leaves one without gradient alone. One
        # process, which keeps nothing in mind, has none where several have the zero of what is absent.
        for group in optimizer.param_groups:
            learns = self.schedule.learns(group["player"], self.batches_seen)
            for parameter in group["params"]:
                if not learns or (self.reached and parameter not in self.reached):
                    parameter.grad = None
        self.reached.clear()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip each player by itself: a critic's penalty must not shrink the generator's step."""
        if gradient_clip_val:
            for group in optimizer.param_groups:
                nn.utils.clip_grad_norm_(group["params"], gradient_clip_val)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.batches_seen += 1
        self.update_average()

    def averaged(self) -> dict[str, tuple[list[Tensor], list[Tensor]]]:
        """The running average's weights and the pair's, by player."""
        twins: dict[Tensor, Tensor] = dict(
            zip(self.model.parameters(), self.average.parameters(), strict=True)
        )
        players = self.players().items()
        own: dict[str, list[Tensor]] = {name: [p for p in weights if p in twins] for name, weights in players}
        return {name: ([twins[p] for p in weights], weights) for name, weights in own.items() if weights}

    @torch.no_grad()
    def update_average(self) -> None:
        """Exponential moving average of the weights, with a warm-up so that a player's first are forgotten.

        A player that rests equals its average already.
        """
        for player, (average, current) in self.twins.items():
            if self.schedule.learns(player, self.batches_seen - 1):
                age = self.batches_seen - self.schedule.window(player)[0]
                decay = min(self.ema_decay, (1 + age) / (10 + age))
                torch._foreach_lerp_(average, current, 1 - decay)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.players())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["batches_seen"] = self.batches_seen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.batches_seen = checkpoint["batches_seen"]
