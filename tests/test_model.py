"""The pair, and the article's model."""

import torch

from stable_diffusion_lab import StableDiffusion
from stable_diffusion_lab.batch import Draft
from stable_diffusion_lab.draft.latents import Latents
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.generator.mlp import MLP as Generator
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.refiner.mlp import MLP as Refiner

SHAPE = (1, 8, 8)


def in_pixels() -> Pair:
    return Pair(Generator(5, 16, SHAPE), Refiner(SHAPE, 4, 16, 0.3), Pixels())


def in_latents() -> Pair:
    return Pair(Generator(5, 16, (4,)), Refiner(SHAPE, 4, 16, 0.3), Latents())


def test_article_snippet() -> None:
    model = StableDiffusion(latent_dim=100, hidden_dim=512, image_size=784)
    assert model(torch.randn(1, 100)).shape == (1, 100)
    assert model.encoder(torch.randn(2, 100)).shape == (2, 784)
    assert model.decoder(torch.rand(2, 784)).shape == (2, 100)


def test_article_has_two_networks_only() -> None:
    model = StableDiffusion(latent_dim=100, hidden_dim=512, image_size=784)
    sizes = [(100, 512), (512, 512), (512, 784), (784, 512), (512, 512), (512, 100)]
    two_mlps = sum(inputs * outputs + outputs for inputs, outputs in sizes)
    posterior_variance = 100
    assert sum(p.numel() for p in model.parameters()) == two_mlps + posterior_variance


def test_article_refines_by_drafting_again() -> None:
    model = StableDiffusion(10, 16, 30)
    x = torch.rand(4, 30)
    assert torch.equal(model.refine(x), model.encoder(model.decoder(x)))


def test_same_seed_same_samples_another_seed_others() -> None:
    model = in_pixels()
    one, two, three = (model.generate(3, seed) for seed in (7, 7, 8))
    assert torch.equal(one.draft, two.draft) and torch.equal(one.refined, two.refined)
    assert not torch.equal(one.draft, three.draft)


def test_refined_is_the_refinement_of_the_draft() -> None:
    for model in (in_pixels(), in_latents()):
        sample = model.generate(6)
        assert sample.draft.shape == sample.refined.shape == (6, *SHAPE)
        torch.testing.assert_close(model.refine(sample.draft), sample.refined)


def test_comparison_in_latents_is_with_what_the_refiner_infers() -> None:
    model, clean = in_latents(), torch.rand(3, *SHAPE)
    noise = torch.randn(5, 5)
    code = model.generator(noise)
    comparison, refined = model.compare(Draft(noise, code), clean)
    assert comparison.generated is code
    torch.testing.assert_close(comparison.real, model.infer(clean).mean)
    assert not comparison.real.requires_grad
    refinement = model.refine(model.space.render(code, model.refiner))
    torch.testing.assert_close(model.refiner.decode(refined.generated), refinement)


def test_comparison_in_pixels_reaches_the_generator_through_both_stages() -> None:
    model, clean = in_pixels(), torch.rand(3, *SHAPE)
    noise = torch.randn(5, 5)
    for stage in model.compare(Draft(noise, model.generator(noise)), clean):
        model.zero_grad()
        stage.generated.sum().backward(retain_graph=True)
        assert all(p.grad is not None for p in model.generator.parameters())
        assert all(p.grad is None for p in model.refiner.parameters())
