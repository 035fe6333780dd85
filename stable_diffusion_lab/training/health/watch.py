"""Noticing that a run learns the wrong thing while there is time to do something about it."""

import sys
from collections.abc import Mapping
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_only

from stable_diffusion_lab.bounds import NonNegativeInt, PositiveInt
from stable_diffusion_lab.error import UnhealthyError
from stable_diffusion_lab.layer.posterior import Posterior
from stable_diffusion_lab.objective.adversarial import Adversarial
from stable_diffusion_lab.seeding import fold
from stable_diffusion_lab.training.boundary import BetweenBatches, due, settled
from stable_diffusion_lab.training.checkpoint import Checkpoint
from stable_diffusion_lab.training.health.base import Findings, Symptom
from stable_diffusion_lab.training.monitor import Monitor
from stable_diffusion_lab.training.system import System


class Health(BetweenBatches):
    """Measures symptoms after each validation, logs ``health/<name>``, and warns of those that last.

    Each warning is one line, once until the symptom is gone. Ranks decide on the numbers of the first.

    Args:
        monitor: what scores the run, just before; its features are used again.
        checkpoint: what saves the run.
        symptoms: by name.
        patience: bad evaluations in a row before a warning.
        grace: batches that a player learns before its symptoms count.
        samples: size of the held-out batch, and most generated samples that are looked at.
        snapshot: save ``checkpoints/unhealthy-00001500.ckpt`` at a warning, which stays.
        stop: save and end the run at a warning.

    Raises:
        UnhealthyError: on rank 0, if ``stop``; the other ranks leave as if all were well.
    """

    def __init__(
        self,
        monitor: Monitor,
        checkpoint: Checkpoint,
        symptoms: Mapping[str, Symptom],
        patience: PositiveInt = 2,
        grace: NonNegativeInt = 100,
        samples: PositiveInt = 512,
        snapshot: bool = False,
        stop: bool = False,
    ) -> None:
        self.monitor = monitor
        self.checkpoint = checkpoint
        self.symptoms = dict(symptoms)
        self.patience = patience
        self.grace = grace
        self.samples = samples
        self.snapshot = snapshot
        self.stop = stop
        self.bad: dict[str, int] = {}  # evaluations in a row, by symptom
        self.fresh: list[str] = []  # symptoms that have been warned of but not acted on

    def between(self, trainer: Trainer, system: System, last: bool) -> None:
        if self.symptoms and due(system.batches_seen, self.monitor.every, last):
            values = trainer.strategy.broadcast(self.measure(self.look(trainer, system)))
            for logger in trainer.loggers:  # each writes on rank 0 only
                named = {f"health/{name}": value for name, value in values.items()}
                logger.log_metrics(named, step=system.batches_seen)
            for name, complaint in self.judge(values, self.learnt(system)).items():
                _warn(f"{name} at batch {system.batches_seen}: {complaint}")
                self.fresh.append(name)
        if self.fresh and (last or settled(trainer, system)):
            self.act(trainer, system)

    @torch.no_grad()
    def look(self, trainer: Trainer, system: System) -> Findings:
        """Put together what is known; the critic's accuracy is the mean over ranks, in its last batch."""
        evaluator = self.monitor.evaluator
        samples, labels = evaluator.data.validation.some()
        rng = torch.Generator().manual_seed(fold(evaluator.seed))
        chosen = torch.randperm(len(samples), generator=rng)[: self.samples]
        shown = evaluator.data.modality.to_sample(samples[chosen].to(system.device))
        posterior = system.average.infer(shown)
        critics = [it for it in system.objectives.values() if isinstance(it, Adversarial)]
        found = [it.accuracy for it in critics if it.accuracy is not None]
        means = [trainer.strategy.reduce(it, reduce_op="mean").item() for it in found]
        return Findings(
            scores=self.monitor.latest,
            real=evaluator.real("validation")[chosen].double().cpu(),
            labels=None if labels is None else labels[chosen],
            generated={k: it[: self.samples].double().cpu() for k, it in evaluator.features.items()},
            posterior=Posterior(*(it.double().cpu() for it in posterior)),
            accuracy=max(means, default=None),
        )

    def measure(self, findings: Findings) -> dict[str, float]:
        """Values of the symptoms that mean something here."""
        values = {name: symptom.measure(findings) for name, symptom in self.symptoms.items()}
        return {name: value for name, value in values.items() if value is not None}

    def learnt(self, system: System) -> set[str]:
        """Players who have learnt for more than the grace."""
        taught = {"generator": system.objectives, "refiner": system.refinement}
        since = {player: system.schedule.window(player)[0] for player in taught}
        return {it for it in taught if taught[it] and system.batches_seen > since[it] + self.grace}

    def judge(self, values: Mapping[str, float], learnt: set[str]) -> dict[str, str]:
        """Count bad values, and say what is wrong where patience has come to an end just now.

        Args:
            values: of one evaluation, by symptom.
            learnt: players whose symptoms count.
        """
        news = {}
        for name, value in values.items():
            symptom = self.symptoms[name]
            what = symptom.complaint(value) if symptom.player in learnt else None
            self.bad[name] = self.bad.get(name, 0) + 1 if what else 0
            if what and self.bad[name] == self.patience:
                news[name] = f"{what}: {symptom.meaning}; {symptom.advice}"
        return news

    def act(self, trainer: Trainer, system: System) -> None:
        """Save and stop, as far as that is wanted."""
        names, self.fresh = ", ".join(self.fresh), []
        step, run = system.batches_seen, self.checkpoint.run
        if self.snapshot:  # the name keeps it from being pruned, and from being resumed from
            trainer.save_checkpoint(run / "checkpoints" / f"unhealthy-{step:08d}.ckpt")
        if self.stop:
            self.checkpoint.save(trainer, system)
            if not trainer.is_global_zero:  # Lightning kills rank 0 when another reports a failure
                raise SystemExit(0)
            raise UnhealthyError(
                "UNHEALTHY", f"batch {step}: {names}; saved; to go on anyway: sdlab train resume={run}"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"bad": dict(self.bad)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.bad = dict(state_dict["bad"])


@rank_zero_only
def _warn(line: str) -> None:
    print(f"sdlab: warning[UNHEALTHY]: {line}", file=sys.stderr)
