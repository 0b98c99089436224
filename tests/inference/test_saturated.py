"""Models whose weights are far too large: every method ends, and names what it cannot trust."""

import pytest
import torch
from exact import gen

from vaefill.inference import flagged, infer
from vaefill.inference.mixtures import cholesky
from vaefill.models import VAE

QUICK = {"importance": {"n_proposals": 60}, "laplace": {"n_proposals": 60}, "map": {}}


def saturated(family: str, likelihood: str, scale: float, **options) -> VAE:
    sizes = {"pixels": 64, "hidden": [20, 9], "latent": 3}
    vae = VAE(family, likelihood=likelihood, **sizes, **options, generator=gen(0))
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter *= scale
    return vae


@pytest.fixture(scope="module")
def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels of which half are black or white; of one image a single pixel is observed."""
    images = (1.5 * torch.rand(6, 8, 8, generator=gen(1)) - 0.25).clamp(0, 1)
    missing = torch.rand(6, 8, 8, generator=gen(2)) < 0.5
    missing[4] = True
    missing[4, 3, 3] = missing[5] = False
    return images, missing


FAMILIES = {"gauss": {}, "t": {"df": 0.3}, "joint": {"df": 0.5, "joint": "multivariate"}}


@pytest.mark.parametrize("method", ["map", "laplace"])
@pytest.mark.parametrize(
    ("kind", "likelihood"),
    [("gauss", "bernoulli"), ("t", "continuous_bernoulli"), ("joint", "continuous_bernoulli")],
)
def test_no_error_of_linear_algebra_reaches_a_person(data, kind, likelihood, method):
    for scale in (1e2, 1e4):
        vae = saturated("gauss" if kind == "gauss" else "t", likelihood, scale, **FAMILIES[kind])
        for model in (vae, vae.double()):
            settings = {"generator": gen(3), "n_draws": 8, **QUICK[method]}
            found = infer(model, *data, method=method, **settings)
            assert found.mean.isfinite().all()
            assert found.codes.isfinite().all()


def test_weights_beyond_all_numbers_are_flagged(data):
    vae = saturated("gauss", "bernoulli", 1.0)
    with torch.no_grad():
        vae.decoder.layers[-1].bias[3] = torch.nan
    for method in QUICK:
        settings = {"n_draws": 8, **QUICK[method]}
        found = infer(vae, *data, method=method, generator=gen(3), **settings)
        assert found.mean[:, 0, 3].isnan().all()
        if "pareto_k" in found.diagnostics:
            assert flagged(found.diagnostics)[5]  # of which that pixel is observed


def test_factors_of_matrices_that_are_not_positive_definite():
    good = torch.tensor([[4.0, 2.0], [2.0, 3.0]], dtype=torch.float64)
    indefinite = torch.tensor([[4.0, 20.0], [20.0, 9.0]], dtype=torch.float64)
    broken = torch.tensor([[torch.nan, 0.0], [0.0, torch.inf]], dtype=torch.float64)
    factors = cholesky(torch.stack([good, indefinite, broken, -good]))
    assert torch.equal(factors[0], torch.linalg.cholesky(good))
    assert factors[1:].tolist() == [[[2, 0], [0, 3]], [[1, 0], [0, 1]], [[1, 0], [0, 1]]]
