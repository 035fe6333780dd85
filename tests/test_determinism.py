"""Nothing that learns asks a GPU for what has no deterministic version there: the trainer forbids it.

No GPU is needed to see it: what torch would refuse (``torch.use_deterministic_algorithms``) is refused here.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from stable_diffusion_lab.batch import Batch
from stable_diffusion_lab.command.build import build
from stable_diffusion_lab.command.compose import compose
from stable_diffusion_lab.command.train import assemble
from stable_diffusion_lab.layer.running_sum import running_sum
from stable_diffusion_lab.task.damage.strokes import Strokes

REFUSED = (
    *("adaptive_avg_pool2d_backward", "adaptive_avg_pool3d_backward", "adaptive_max_pool2d_backward"),
    *("avg_pool3d_backward", "fractional_max_pool", "max_unpool", "ctc_loss_backward", "grid_sampler"),
    *("upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward"),
    *("reflection_pad1d_backward", "reflection_pad2d_backward", "nll_loss2d", "put", "histc"),
)


class Deterministic(TorchDispatchMode):
    """Raises where a GPU would."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::").strip("_")
        floats = name == "cumsum" and args[0].is_floating_point()
        weighted = name == "bincount" and len(args) > 1 and args[1] is not None
        indexed = name == "median" and len(args) > 1
        if floats or weighted or indexed or any(name == it or name.startswith(f"{it}_") for it in REFUSED):
            raise RuntimeError(f"{name} has no deterministic implementation")
        return func(*args, **(kwargs or {}))


SMALL = ["refiner.latent_dim=4", "schedule=together"]
TEXT = ["data=text", "data.length=16", "tokenizer.size=40", "refiner=autoregressive", *SMALL]
SOUND = ["data=spoken_digits", "data.length=512", *SMALL]
CASES = {
    "text": TEXT,
    "text without latents": [*TEXT[:-2], "generator=recurrent"],
    "inpainting": ["task=inpainting"],
    "super-resolution": ["task=super_resolution"],
    "adversarial": ["generator=dcgan", "objective=relativistic", "augment=ada", "regularizer=r1"],
    "waveforms": [*SOUND, "refiner=instantaneous_frequency", "generator=wavegan"],
}


@contextlib.contextmanager
def placed_by_the_processor(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Strokes are drawn on the CPU wherever the samples are."""
    pieces = Strokes.pieces

    def alone(*args: Any) -> torch.Tensor:
        with _disable_current_modes():
            return pieces(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Strokes, "pieces", alone)
        yield


@pytest.mark.parametrize("case", CASES)
def test_a_step_and_its_samples_are_deterministic_on_a_gpu(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDLAB_CACHE", str(tmp_path / "cache"))
    words = list(CASES[case])
    if "data=text" in words:
        (tmp_path / "corpus.txt").write_text("the cat sat on the mat; the dog ate its hat.\n" * 99)
        words += [f"data.path={tmp_path}/corpus.txt", "data.judged=9"]
    config = compose("train", words)
    if "data=spoken_digits" in words:
        samples = torch.rand(4, 1, 512) * 2 - 1
    else:
        data = build(config.data)
        samples = data.modality.to_sample(data.train.samples[:4])
    system, batch = assemble(config), Batch(samples, None)
    rng = torch.Generator().manual_seed(0)
    with Deterministic(), placed_by_the_processor(monkeypatch):
        draft = system.drafted(torch.randn(4, system.model.generator.noise_dim), batch, rng)
        for objective in [*system.refinement.values(), *system.objectives.values()]:
            sum(objective(system.model, batch, draft).values()).backward(retain_graph=True)
        system.model.generate(4, observed=draft.observed)


def test_what_is_refused_is_noticed() -> None:
    x = torch.rand(2, 3, 4, 4, requires_grad=True)
    with Deterministic(), pytest.raises(RuntimeError, match="cumsum"):
        x.cumsum(0)
    with Deterministic(), pytest.raises(RuntimeError, match="bilinear"):
        torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear").sum().backward()


def test_a_running_sum_is_the_sum_so_far() -> None:
    for length in (1, 2, 5, 64):
        x = torch.randn(3, length, dtype=torch.float64)
        assert torch.allclose(running_sum(x), x.cumsum(-1), rtol=0, atol=1e-12)
