"""Against the log joint itself, at every draw."""

import pytest
import torch
from exact import KINDS, LinearGaussian, gen, incomplete, make

from vaefill.inference import starts
from vaefill.inference.iterated import fill
from vaefill.inference.starts import find_starts
from vaefill.inference.target import log_joint


@pytest.mark.parametrize("kind", KINDS)
def test_best_draws_are_those_of_the_highest_joint_density(kind):
    vae, (x, observed) = make(kind), incomplete(8)
    found = find_starts(vae, x, observed, n_best=3)
    assert torch.equal(found[0], vae.encoder(x)[0])
    assert torch.equal(found[1], vae.encoder(fill(vae, x, observed)[0])[0])
    z = vae.prior.rsample(gen(0), (starts.CANDIDATES,))
    z[0] = 0
    z = z[:, None].expand(-1, 8, -1)
    height = log_joint(vae.likelihood(z), vae.prior, z, x, observed)
    for image in range(8):
        best = z[height[:, image].argsort(descending=True)[:3], image]
        torch.testing.assert_close(found[2:, image], best)


def test_near_the_maximum_of_a_linear_gaussian():
    model = LinearGaussian()
    x, observed = model.incomplete(30)
    exact, covariance = model.exact(x, observed)
    away = (find_starts(model, x, observed)[2] - exact.code).unsqueeze(-1)
    distance = (away.mT @ torch.linalg.inv(covariance) @ away).flatten()
    # One of 2048 draws lies within the posterior, most of the times far within.
    assert distance.max() < 2
    assert distance.median() < 0.2


def test_images_do_not_matter_to_each_other():
    vae, (x, observed) = make(), incomplete(8)
    whole = find_starts(vae, x, observed)
    assert whole.shape == (4, 8, 2)
    torch.testing.assert_close(whole[:, 3:5], find_starts(vae, x[3:5], observed[3:5]))


def test_nothing_observed_starts_at_the_priors_mode():
    vae, x = make(), torch.zeros(1, 12, dtype=torch.float64)
    assert (find_starts(vae, x, x.bool())[2] == 0).all()
