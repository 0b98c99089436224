"""Imputing with a model that infers the code itself."""

import math

import pytest
import torch
from exact import gen

from vaefill.inference import impute, infer, predict
from vaefill.inference.conditional import decode
from vaefill.models.conditional import ConditionalVAE


def make(family: str, spread: float, **options) -> ConditionalVAE:
    options = {"shape": (8, 8), "widths": [16, 8], "latent": 2, **options}
    vae = ConditionalVAE(family, **options, generator=gen(0))
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter += spread * torch.randn(parameter.shape, generator=gen(5))
    return vae.eval()


@pytest.fixture(params=[("mlp", [16, 8]), ("conv", [4, 8, 8, 16])], ids=["mlp", "conv"])
def vae(request) -> ConditionalVAE:
    networks, widths = request.param
    return make("t", 0.2, df=5.0, networks=networks, widths=widths)


@pytest.fixture
def images(digits) -> torch.Tensor:
    return digits.reshape(60, 8, 8)


@pytest.fixture
def missing() -> torch.Tensor:
    return torch.rand(60, 8, 8, generator=gen(2)) < 0.4


def test_draws_average_what_the_first_codes_expect_of_the_observed(vae, images, missing):
    hidden = images.masked_fill(missing, math.nan)
    settings = {"method": "draws", "n_draws": 9, "n_averaged": 4, "batch_size": 25}
    found = infer(vae, hidden, missing, generator=gen(), **settings)
    assert found.codes.shape == (9, 60, 2)
    expected = decode(vae, found.codes, images, missing)
    assert expected.shape == (9, 60, 8, 8)
    assert torch.equal(decode(vae, found.codes, hidden, missing), expected)
    torch.testing.assert_close(found.mean, expected[:4].mean(0))


def test_draws_approach_the_integral_over_the_code(images, missing):
    # One coordinate: the mean over p(z|x_o) is an integral over a line.
    vae = make("gauss", 0.3, latent=1)
    with torch.no_grad():
        n = 4000
        some, gaps = images[:3], missing[:3]
        found = infer(vae, some, gaps, method="draws", generator=gen(), n_draws=n, n_averaged=n)
        mu, prior, likelihood = vae.condition(some.flatten(1), ~gaps.flatten(1))
        steps = torch.linspace(-8, 8, 2001)[:, None, None] * torch.exp(0.5 * prior.logvar)
        weights = prior.log_prob(mu + steps).softmax(0)[..., None]
        exact = (weights * likelihood(mu + steps).mean).sum(0)
        spread = (weights * (likelihood(mu + steps).mean - exact).square()).sum(0).sqrt()
    assert spread.max() > 0.05, "the code must matter"
    error = (found.mean.flatten(1) - exact).abs()
    assert (error < 5 * spread / math.sqrt(n) + 5e-5).all()


def test_single_pass_decodes_the_location(vae, images, missing):
    found = infer(vae, images, missing, method="single_pass", generator=gen(), n_draws=1)
    with torch.no_grad():
        mu, _, likelihood = vae.condition(images.flatten(1), ~missing.flatten(1))
        torch.testing.assert_close(found.mean.flatten(1), likelihood(mu).mean)
    torch.testing.assert_close(predict(vae, images, missing), found.mean)


def test_nothing_observed_and_nothing_missing(vae, images):
    missing = torch.zeros(60, 8, 8, dtype=torch.bool)
    missing[:2] = True
    found = infer(vae, images, missing, method="draws", generator=gen(), n_draws=5, n_averaged=5)
    assert torch.equal(impute(images, missing, found.mean)[2:], images[2:])
    # The prediction with nothing observed is that of p(z): the same for every image.
    single = predict(vae, images, missing)
    torch.testing.assert_close(single[0], single[1])
    assert not torch.equal(single[0], single[2])
