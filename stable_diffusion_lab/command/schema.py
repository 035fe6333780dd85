"""The top-level values of each command. The config check reads the annotations from this file."""

from dataclasses import dataclass
from typing import Any, Literal

from stable_diffusion_lab.bounds import Decay, NonNegativeInt, PositiveFloat, PositiveInt, Seed

Node = dict[str, Any]  # built from its _target_
OptionalNode = dict[str, Any]  # the same, or {} for none
Nodes = dict[str, Node]  # any number of nodes by name


@dataclass(frozen=True)
class TrainConfig:
    """``conf/train.yaml``."""

    name: str
    seed: Seed
    runs: str
    resume: str | None
    batch_size: PositiveInt
    data: Node
    density: Node
    cut: Node
    tokenizer: Node
    refiner: Node
    draft: Node
    damage: Nodes
    task: Node
    critic: Node
    denoiser: Node
    feature: Node
    augment: Node
    regularizer: Nodes
    kernel: Node
    generator: Node
    model: Node
    refinement: Nodes
    objective: Nodes
    adapt: Node
    extractor: Node
    metric: Nodes
    fidelity: Nodes
    measure: Nodes
    health: Node
    logger: OptionalNode
    trainer: Node
    schedule: Node
    optimizer: Node
    ema_decay: Decay
    evaluate_every: PositiveInt
    sample_every: PositiveInt
    save_every: PositiveInt


@dataclass(frozen=True)
class EvaluateConfig:
    """``conf/evaluate.yaml``."""

    run: str
    split: Literal["train", "validation", "test"]
    n: PositiveInt | None
    seed: Seed | None
    device: str


@dataclass(frozen=True)
class SampleConfig:
    """``conf/sample.yaml``."""

    run: str
    n: PositiveInt
    out: str
    seed: Seed
    label: NonNegativeInt | None
    prompt: str | None
    temperature: PositiveFloat | None
    batch_size: PositiveInt
    device: str


@dataclass(frozen=True)
class RestoreConfig:
    """``conf/restore.yaml``."""

    run: str
    input: str
    mask: str | list[float] | None
    n: PositiveInt
    out: str
    seed: Seed
    batch_size: PositiveInt
    device: str
