"""Factor models against what is known of them in closed form."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from sklearn.decomposition import PCA

from study.control.cases import CODES, MODELS
from study.control.learning import importance_elbo, independent_axes, start
from study.control.model import BentEncoder, FactorModel, Noise
from study.control.trial import impute_and_score, log_likelihood, make_truth
from vaefill.inference.laplace import laplace

SIZES = {"columns": 6, "latent": 2}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def truth(codes, kind="linear", **settings):
    settings = {"df": 3.0, "noise": 0.5, **SIZES, **settings}
    return make_truth(kind, codes, **settings, generator=generator(1))


def covariance(model):
    weight = model.decoder.straight.weight.detach().double().numpy()
    return weight @ weight.T + np.exp(model.logvar.item()) * np.eye(len(weight)), weight @ weight.T


def test_noise_is_the_normal_distribution():
    x, mean = torch.randn(2, 5, 3, dtype=torch.float64, generator=generator())
    observed = torch.tensor([True, False, True])
    logvar = torch.tensor(-0.7, dtype=torch.float64)
    noise = Noise(mean * torch.exp(-logvar), logvar)
    exact = stats.norm(mean, math.exp(-0.35)).logpdf(x)
    np.testing.assert_allclose(noise.mean, mean)
    np.testing.assert_allclose(noise.log_prob(x), exact.sum(-1))
    np.testing.assert_allclose(noise.log_prob(x, observed), exact[:, [0, 2]].sum(-1))


def test_gaussian_codes_give_a_normal_table():
    model = truth("gauss")
    x = model.draw(50, generator())
    exact = stats.multivariate_normal(np.zeros(6), covariance(model)[0]).logpdf(x)
    found = log_likelihood(model, x, n_proposals=2000, generator=generator())
    np.testing.assert_allclose(found, exact, atol=0.1)
    assert abs(found.mean() - exact.mean()) < 0.01


def test_codes_that_share_one_chi_square_draw_give_a_multivariate_t():
    model = truth("shared_t")
    x = model.draw(20, generator()).numpy()
    _, signal = covariance(model)
    noise = np.exp(model.logvar.item()) * np.eye(6)

    def density(u, row):
        return stats.multivariate_normal(np.zeros(6), signal * 3 / u + noise).pdf(row) * stats.chi2(
            3
        ).pdf(u)

    exact = [math.log(integrate.quad(density, 0, 60, args=(row,), limit=200)[0]) for row in x]
    found = log_likelihood(model, torch.tensor(x), n_proposals=4000, generator=generator())
    np.testing.assert_allclose(found, exact, atol=0.1)


def test_missing_cells_get_the_conditional_mean():
    model = truth("gauss")
    x = model.draw(30, generator())
    missing = torch.rand(x.shape, generator=generator(3)) < 0.5
    found = laplace(
        model, x.where(~missing, 0), ~missing, generator=generator(), n_proposals=4000, n_rounds=1
    )
    cov = covariance(model)[0]
    for row, gaps, mean in zip(x.numpy(), missing.numpy(), found.mean.detach(), strict=True):
        gain = cov[np.ix_(gaps, ~gaps)] @ np.linalg.inv(cov[np.ix_(~gaps, ~gaps)])
        np.testing.assert_allclose(mean[gaps], gain @ row[~gaps], atol=0.15)


@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
def test_codes_of_any_law_spread_the_table_alike(kind):
    spread = [truth(codes, kind, df=8.0).draw(40_000, generator()).std(0) for codes in CODES]
    torch.testing.assert_close(spread[0], spread[1], rtol=0.03, atol=0)
    torch.testing.assert_close(spread[0], spread[2], rtol=0.03, atol=0)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_starts_at_the_linear_gaussian_optimum(name):
    x = truth("gauss").draw(500, generator())
    model = FactorModel(name, df=5.0, **SIZES, hidden=4, generator=generator())
    start(model, x)
    signal = covariance(model)[1] * model.code_variance
    noise = math.exp(model.logvar.item())
    np.testing.assert_allclose(
        signal + noise * np.eye(6), PCA(2).fit(x).get_covariance(), atol=1e-3
    )


def test_the_start_is_probabilistic_pca_with_its_exact_posterior():
    sizes = {"columns": 6, "latent": 1}  # of several codes, q has the exact variances alone
    x = truth("gauss", **sizes).draw(500, generator())
    model = FactorModel("gauss", df=5.0, **sizes, hidden=0, generator=generator())
    start(model, x)
    # Where q is p(z|x), every weight is ln p(x), whatever was drawn.
    bound, kl = importance_elbo(model, x, generator(), n_draws=1)
    assert bound.mean().item() == pytest.approx(PCA(1).fit(x).score(x), abs=2e-3)
    torch.testing.assert_close(
        bound, importance_elbo(model, x, generator(5), n_draws=3).reconstruction,
        rtol=1e-4, atol=1e-3,
    )  # fmt: skip
    assert not kl.any()


def test_independent_codes_are_found_along_their_axes():
    codes = truth("t", latent=3).prior.rsample(generator(), (2000,))
    white = codes / codes.square().mean(0).sqrt()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator())).Q
    found = (independent_axes(white @ turn.T) @ turn).abs()
    torch.testing.assert_close(found.amax(1), torch.ones(3), rtol=0, atol=0.02)
    torch.testing.assert_close(found.sum(0).amax(), found.sum(0).amin(), rtol=0.2, atol=0)


def test_codes_alike_in_all_directions_are_rotated_all_the_same():
    found = independent_axes(torch.randn(300, 3, generator=generator()))
    torch.testing.assert_close(found @ found.T, torch.eye(3), rtol=0, atol=1e-5)


def test_far_out_the_width_of_a_posterior_follows_from_the_direction():
    encoder = BentEncoder(6, 2, 8, generator())
    x = 1e4 * torch.randn(5, 6, generator=generator())
    torch.testing.assert_close(encoder(x)[1], encoder(1000 * x)[1])


def test_intervals_of_the_truth_are_honest():
    model = truth("t", columns=12)
    x = model.draw(400, generator())
    missing = torch.rand(x.shape, generator=generator(3)) < 0.5
    scores = impute_and_score(
        model, x, missing, x.std(0), n_proposals=200, n_draws=39, generator=generator()
    )
    assert scores["coverage_0.9"] == pytest.approx(0.9, abs=0.03)
    assert 0 < scores["crps"] < scores["rmse"] < 1
