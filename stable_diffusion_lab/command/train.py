"""``sdlab train``: from a configuration to a run folder."""

import json
import sys
from collections.abc import Mapping, Set
from contextlib import nullcontext
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from lightning import Callback, seed_everything
from omegaconf import DictConfig, OmegaConf
from torch import distributed

from stable_diffusion_lab.batch import Batch
from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.judge import judge, publish, scores
from stable_diffusion_lab.command.load import stored_config, stored_modality
from stable_diffusion_lab.command.logger import close, loggers
from stable_diffusion_lab.command.resume import resumed
from stable_diffusion_lab.command.trainer import quiet, trainer_for
from stable_diffusion_lab.command.unused import warn_of_unused
from stable_diffusion_lab.data.base import Data
from stable_diffusion_lab.data.batches import Batches
from stable_diffusion_lab.error import ConfigError, DataError
from stable_diffusion_lab.file.atomic import write_atomically
from stable_diffusion_lab.file.cache import cache
from stable_diffusion_lab.objective.feature.base import Feature
from stable_diffusion_lab.training import rehearsal, run_folder
from stable_diffusion_lab.training.checkpoint import Checkpoint, latest
from stable_diffusion_lab.training.checkpoint_file import AtomicCheckpointIO, read
from stable_diffusion_lab.training.evaluator import Evaluator
from stable_diffusion_lab.training.finite import Finite
from stable_diffusion_lab.training.gallery import Gallery
from stable_diffusion_lab.training.monitor import Monitor
from stable_diffusion_lab.training.progress import Bar
from stable_diffusion_lab.training.signals import Signals
from stable_diffusion_lab.training.system import System
from stable_diffusion_lab.training.terms import Terms

REHEARSED = 8  # samples


def train(config: DictConfig) -> None:
    """Train, score the running average on the test split, and leave everything in the run folder.

    Args:
        config: composed from ``conf/train.yaml`` and checked, the latest that was composed.
    """
    words = list(HydraConfig.get().overrides.task)
    resume = None if config.resume is None else Path(config.resume)
    if resume is not None:
        config = resumed(config, stored_config(resume), words)
    with quiet():  # before there is a folder: what cannot be trained leaves none behind
        data = build(config.data)
        evaluator = judge(config, data, None, config.seed)
        rehearse(config, data, evaluator.higher_is_better(), resume)
        for split in ("validation", "test"):
            evaluator.check(split)
        checkpoint = latest(resume) if resume else None
        batches = deal(config, data, checkpoint)
    first = run_folder.rank() == 0
    if first and resume is None:
        warn_of_unused(config, words)
    run = resume or begin(config)
    lock = run_folder.locked(run) if first else nullcontext()
    with quiet(), lock, run_folder.environment(**{run_folder.VARIABLE: str(run)}):
        if first and resume is not None:  # what interrupts a prolonged run must not shorten it again
            write_atomically(run / "config.yaml", plain(config).encode())
        if first:
            write_atomically(run / "modality.json", json.dumps(data.modality.node(), indent=2).encode())
        system = fit(config, run, checkpoint, batches, evaluator)
    if first:
        print(f"trained and saved; scoring {evaluator.count('test'):,} samples of the test split", flush=True)
        found = scores(evaluator, system.average, "test", system.batches_seen)
        publish(evaluator, found, run / "test.json")
        use = "restore input=<file>" if system.model.task.observes else "sample"
        print(f"{run}\nnext: sdlab {use} run={run}")
        print(f"      sdlab train resume={run} trainer.max_steps={2 * system.batches_seen}")


def rehearse(config: DictConfig, data: Data, ways: Mapping[str, bool], resume: Path | None) -> None:
    """Build everything, draft one sample, and before a fresh run ask each objective for its terms.

    Args:
        config: of the run.
        data: what it learns from.
        ways: names of the scores to come, and whether more is better.
        resume: folder of the run that goes on; ``None`` for a fresh one.

    Raises:
        ConfigError: if networks, objectives, task, data and scores do not fit each other, or there is damage
            that nobody does.
        DataError: if the data of a run that goes on are no longer what they were, or labels do not do.
    """
    if resume is not None and stored_modality(resume).node() != data.modality.node():
        message = f"{data.name}: its vocabulary is not that of {resume}; put back the files it was made of"
        raise DataError("DATA-CHANGED", message)
    task = build(config.task)
    if task.observes and not data.modality.damageable:
        raise ConfigError("CFG-FIT", f"task: {data.modality.noun} cannot be damaged; say task=generation")
    if not task.observes and (config.damage or config.fidelity):
        raise ConfigError("CFG-FIT", "damage, fidelity: nothing is damaged; say task=restoration beside them")
    system = assemble(config)
    system.adapt.expect(ways)
    pair = system.model
    clean = data.modality.to_sample(data.train.samples[:1])
    with torch.no_grad():
        observed = pair.task.observe(clean, torch.Generator().manual_seed(0))
        told, _ = pair.split(pair.noise(1, 0))
        drawn, wanted = pair.code(told, observed).shape[1:], pair.embed(clean).shape[1:]
    if drawn != wanted:
        shapes = f"it draws {list(drawn)}, where drafts are {list(wanted)}"
        raise ConfigError(
            "CFG-FIT", f"generator: {shapes}; choose another, or another draft: pixels, latents, embeddings"
        )
    if resume is None:
        prepare(system, data)
        samples, labels = data.train.some(min(config.batch_size, REHEARSED))
        batch = Batch(data.modality.to_sample(samples), labels)
        terms = rehearsal.rehearse(system, batch, config.trainer.precision.endswith("-mixed"))
        if run_folder.rank() == 0:
            warn_of_unheard(system, terms)


def warn_of_unheard(system: System, terms: Set[str]) -> None:
    """Name on the error stream what has no term in the run, and weights of terms that there are not."""
    owners = {term.split("/")[0] for term in terms}
    if silent := [name for name in (*system.refinement, *system.objectives) if name not in owners]:
        line = "no term in this run; see schedule for who learns when (schedule=together: all the time)"
        print(f"sdlab: warning[UNUSED]: {', '.join(silent)}: {line}", file=sys.stderr)
    if unheard := system.adapt.unheard(terms):
        line = f"no term is called {' or '.join(unheard)}; there are {', '.join(sorted(terms))}"
        print(f"sdlab: warning[WEIGHTS]: adapt.weights: {line}", file=sys.stderr)


def deal(config: DictConfig, data: Data, checkpoint: Path | None) -> Batches:
    """What this process learns from: of a run that goes on, the rest.

    Raises:
        ConfigError: if there are too few samples for a batch, it cannot be shared out among the processes, or
            Lightning's trainer is refused.
    """
    trainer = trainer_for(config, logger=False)  # knows how many processes there will be
    rank, world = trainer.global_rank, trainer.world_size
    state = read(checkpoint) if checkpoint else {}
    share = divide(state.get("global_batch", config.batch_size * world), world)
    batches = Batches(data.train, share, config.seed, trainer.max_steps, rank, world, data.modality)
    batches.first = state.get("batches_seen", 0)
    return batches


def begin(config: DictConfig) -> Path:
    """The folder of a fresh run."""
    run = run_folder.given() or run_folder.create(Path(config.runs), config.name)
    if run_folder.rank() == 0:
        run_folder.describe(run, plain(config), ["sdlab", *sys.argv[1:]])
    return run


def plain(config: DictConfig) -> str:
    """The resolved configuration as YAML, secrets taken out."""
    public = run_folder.redact(OmegaConf.to_container(config, resolve=True))
    return OmegaConf.to_yaml(OmegaConf.create(public))


def fit(
    config: DictConfig, run: Path, checkpoint: Path | None, batches: Batches, evaluator: Evaluator
) -> System:
    """Build what learns, and train to the end. Afterwards the running average is where it was trained."""
    if checkpoint and run_folder.rank() == 0:
        print(f"resumed {run} at batch {batches.first}")
    system = assemble(config)
    if not checkpoint:
        prepare(system, evaluator.data)
    trainer = trainer_for(
        config,
        logger=loggers(config, run, batches.first),
        callbacks=callbacks(config, run, evaluator),
        plugins=[AtomicCheckpointIO()],
        default_root_dir=run,
    )
    try:
        trainer.fit(system, batches, ckpt_path=checkpoint)
    finally:
        close()
        if distributed.is_initialized():
            distributed.destroy_process_group()
    system.average.to(trainer.strategy.root_device)  # Lightning leaves everything on the CPU
    return system


def divide(global_batch: int, world: int) -> int:
    """Samples per process. A resumed run keeps its global batch, so that it sees the same batches.

    Raises:
        ConfigError: if they cannot be shared out evenly.
    """
    share, rest = divmod(global_batch, world)
    if rest:
        message = f"the run has batches of {global_batch} samples, which {world} devices cannot share evenly"
        raise ConfigError("CFG-RESUME", f"trainer.devices: {message}")
    return share


def assemble(config: DictConfig) -> System:
    """The pair and all that teaches it, with the same initial weights on every rank."""
    seed_everything(config.seed, verbose=False)
    return System(
        model=build(config.model),
        refinement={name: build(node) for name, node in config.refinement.items()},
        objectives={name: build(node) for name, node in config.objective.items()},
        adapt=build(config.adapt),
        schedule=build(config.schedule),
        optimizer=build(config.optimizer),
        ema_decay=config.ema_decay,
        seed=config.seed,
    )


def prepare(system: System, data: Data) -> None:
    """Let features learn or read what they need for these data; a resumed run has it in its checkpoint.

    Raises:
        ConfigError: if there are too few data for the generator.
        DataError: if the labels do not do for the generator or a feature.
    """
    samples, labels = data.train.some()
    system.model.generator.check(len(samples), labels)
    for module in system.modules():
        if isinstance(module, Feature):
            module.prepare(data, cache())


def callbacks(config: DictConfig, run: Path, evaluator: Evaluator) -> list[Callback]:
    """What watches, shows, saves and stops the run, in the order in which it happens."""
    every = config.trainer.log_every_n_steps
    monitor = Monitor(evaluator, config.evaluate_every)
    checkpoint = Checkpoint(run, config.save_every)
    return [
        Finite(every),
        Terms(every),
        monitor,
        Gallery(run, config.sample_every, config.seed, evaluator.data),
        Bar(every, lambda: monitor.latest),
        build(config.health)(monitor=monitor, checkpoint=checkpoint),
        Signals(checkpoint),
        checkpoint,
    ]
