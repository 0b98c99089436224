import math

import numpy as np
import pytest
import torch

from study.trials import evaluation
from study.trials.evaluation import bound_per_image, example_sheet, flatten, means
from vaefill.models.divergences import monte_carlo_kl
from vaefill.models.elbo import elbo
from vaefill.models.vae import VAE


def make(family: str = "gauss", **options) -> VAE:
    generator = torch.Generator().manual_seed(0)
    return VAE(family, **options, pixels=64, hidden=[20, 9], latent=3, generator=generator)


def gen() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize(
    "options",
    [
        {"family": "gauss"},
        {"family": "t", "df": 5.0},
        {"family": "t", "df": 5.0, "joint": "multivariate"},
    ],
)
def test_bound_is_the_elbo_of_every_image(digits, options):
    vae, images = make(**options), digits.reshape(60, 8, 8)
    bound = bound_per_image(vae, images, n_draws=3, generator=gen(), batch_size=25)
    generator = gen()
    parts = [elbo(vae, x, generator, n_draws=3) for x in digits.split(25)]
    reconstruction = torch.cat([part.reconstruction for part in parts]).detach()
    np.testing.assert_array_equal(bound["reconstruction"], reconstruction.double())
    posterior = vae.posterior(digits)
    draws = posterior.rsample(gen(), (4000,))
    estimates = monte_carlo_kl(posterior, vae.prior, draws).detach()
    error = (estimates.mean(0) - torch.from_numpy(bound["kl"])).abs()
    assert (error < 5 * estimates.std(0) / len(draws) ** 0.5 + 1e-5).all()
    np.testing.assert_array_equal(bound["elbo"], bound["reconstruction"] - bound["kl"])


def test_samples_are_decoded_draws_of_the_prior():
    vae = make("t", df=3.0)
    samples = evaluation.prior_samples(vae, n=5, generator=gen())
    z = vae.prior.rsample(gen(), (5,))
    np.testing.assert_allclose(samples, vae.likelihood(z).mean.detach(), rtol=1e-6)
    assert samples.shape == (5, 64)


def test_means_are_over_the_images_that_have_the_region():
    scores = {"none/a": np.array([1.0, math.nan, 3.0]), "none/b": np.array([4.0])}
    scores |= {"none/none": np.array([math.nan]), "c": np.array([0.5])}
    assert means(scores) == {"none.a": 2.0, "none.b": 4.0, "c": 0.5}


def test_leaves_go_by_their_paths():
    tree = {"a": {"b.0": 1, "c": {"0.5": 2.0}}, "d": 3}
    assert dict(flatten(tree)) == {"a.b.0": 1, "a.c.0.5": 2.0, "d": 3}


def test_examples_are_the_first_of_each_digit():
    labels = np.array([8, 1, 8, 0, 1], np.uint8)
    images = np.arange(5, dtype=np.uint8)[:, None, None] + np.zeros((5, 2, 2), np.uint8)
    missing = {"random": np.zeros((5, 2, 2), bool)}
    missing["random"][3, 0, 1] = True
    predictions = {"none": np.full((5, 2, 2), 0.5, np.float32), "random": images / np.float32(255)}
    sheet = example_sheet(images, labels, predictions, missing)
    assert sheet.shape == (3, 4, 2, 2)
    assert sheet.dtype == np.uint8
    assert sheet[:, 0, 0, 0].tolist() == [3, 1, 0]  # digits 0, 1, 8
    assert (sheet[:, 1] == 128).all()
    assert sheet[0, 2].tolist() == [[0, 255], [0, 0]]
    assert (sheet[:, 3] == sheet[:, 0]).all()


def test_grey_is_the_nearest():
    values = np.array([0, 0.4 / 255, 0.6 / 255, 1], np.float32)
    assert evaluation.as_grey(values).tolist() == [0, 0, 1, 255]
