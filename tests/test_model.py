"""The pair, and the article's model."""

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from stable_diffusion_lab import StableDiffusion
from stable_diffusion_lab.batch import Draft
from stable_diffusion_lab.draft.embeddings import Embeddings
from stable_diffusion_lab.draft.latents import Latents
from stable_diffusion_lab.draft.pixels import Pixels
from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.generator.embedding import Embedding
from stable_diffusion_lab.generator.mlp import MLP as Generator
from stable_diffusion_lab.model import Pair
from stable_diffusion_lab.refiner.gru import GRU
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


def in_embeddings() -> Pair:
    torch.manual_seed(0)
    return Pair(Embedding(5, (8, 6), 8, 2, 1), GRU((8, 11), 8, 6, 8, 4, 1.0), Embeddings())


def test_the_embedding_of_a_text_reads_as_the_text_and_so_does_what_is_near() -> None:
    model = in_embeddings()
    clean = one_hot(torch.randint(1, 11, (40, 8)), 11).float()
    code = model.embed(clean)
    table = model.refiner.embedding.detach()
    half = (torch.cdist(table, table) + 100 * torch.eye(11)).min() / 2
    aside = nn.functional.normalize(torch.randn_like(code), dim=2)
    for away in (0.0, 0.99 * half):
        assert torch.equal(model.space.render(code + away * aside, model.refiner), clean)
    nearest = torch.cdist(aside, table).argmin(-1)
    assert torch.equal(model.space.render(aside, model.refiner).argmax(-1), nearest)


def test_a_draft_that_is_to_say_a_token_goes_nearer_to_its_embedding() -> None:
    model = in_embeddings()
    code = torch.randn(40, 8, 6, requires_grad=True)
    (read,) = model.samples(Draft(torch.empty(0), code))[:1]
    read[..., 3].sum().backward()
    assert code.grad is not None and all(p.grad is None for p in model.refiner.parameters())
    moved, goal = code.detach() + 0.1 * code.grad, model.refiner.embedding[3].detach()
    assert ((moved - goal).norm(dim=2) < (code.detach() - goal).norm(dim=2)).float().mean() > 0.8
    told = [(x - goal).square().mean() for x in (code.detach(), moved)]
    assert told[1] < told[0]


def test_embeddings_begin_in_the_units_of_real_text_and_are_compared_with_it() -> None:
    model = in_embeddings()
    clean = one_hot(torch.randint(4, (500, 8)), 11).float()
    real = model.embed(clean).detach()
    model.generator.initialise(real.split(100))
    drafts = model.code(torch.randn(500, 5))
    torch.testing.assert_close(model.generator.mean, real.flatten(0, 1).mean(0))
    assert drafts.std() < 2 * real.std() < 4 * drafts.std()
    for pair in model.compare(Draft(torch.empty(0), drafts), clean):
        assert torch.equal(pair.real, real) and pair.generated.shape == real.shape
        pair.generated.sum().backward(retain_graph=True)
    assert all(p.grad is None for p in model.refiner.parameters())
    assert all(p.grad is not None for p in model.generator.parameters())


def test_embeddings_are_of_tokens() -> None:
    pair = Pair(Generator(5, 16, (4,)), Refiner(SHAPE, 4, 16, 0.3), Embeddings())
    with pytest.raises(ConfigError, match="refiner=autoregressive"):
        pair.draft(torch.randn(2, 5))


def test_texts_are_not_restored() -> None:
    pair = Pair(Generator(5, 16, (4,)), GRU((16, 11), 4, 8, 8, 4, 0.5), Latents())
    with pytest.raises(ConfigError, match="not texts"):
        pair.restore(torch.zeros(2, 16, 11), torch.ones(1, 16, 1))


def test_restored_samples_are_refined_with_their_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, given = in_pixels(), []
    monkeypatch.setattr(Refiner, "redraw", lambda self, x, noise, observed: given.append(noise) or self(x))
    pair.restore(torch.zeros(2, *SHAPE), torch.ones(1, 1, 8, 8), n=3)
    assert [len(noise) for noise in given][-1:] == [6]


@pytest.mark.parametrize(("n", "rows"), [(3, 7), (1500, 100), (2000, 700)])
def test_noise_comes_in_parts_and_is_the_same(n: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = in_latents()
    expected = pair.noise(n, seed=4)
    monkeypatch.setattr(Pair, "noise", None)
    parts = list(pair.noises(n, 4, rows))
    assert torch.equal(torch.cat(parts), expected)
    assert {len(part) for part in parts[:-1]} <= {rows} and len(parts[-1]) <= rows
