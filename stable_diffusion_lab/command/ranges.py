"""Narrower types for parameters of other libraries, whose annotations say too little."""

import ast

_TRAINER = {
    "accumulate_grad_batches": "PositiveInt",
    "deterministic": "bool | Literal['warn']",
    "devices": "PositiveInt | list[NonNegativeInt] | Literal['auto']",
    "gradient_clip_val": "NonNegativeFloat | None",
    "limit_val_batches": "NonNegativeInt | Fraction | None",
    "log_every_n_steps": "PositiveInt",
    "max_epochs": "PositiveInt",
    "max_steps": "PositiveInt",
    "num_nodes": "PositiveInt",
    "num_sanity_val_steps": "NonNegativeInt",
    "precision": "Literal['32-true', '16-mixed', 'bf16-mixed']",
    "val_check_interval": "PositiveInt | Fraction | None",
}

RANGES = {
    "lightning.pytorch.trainer.trainer.Trainer": {
        name: ast.parse(annotation, mode="eval").body for name, annotation in _TRAINER.items()
    }
}
