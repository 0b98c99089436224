"""Models whose weights are far too large: every method ends, and names what it cannot trust."""

import pytest
import torch
from exact import gen, make

from vaefill.inference import flagged, infer

QUICK = {"importance": {"n_proposals": 60}, "laplace": {"n_proposals": 60}, "map": {}}
#: Weights, some with the heaviest tails.
MODELS = {
    "gauss": {},
    "t": {"df": 0.3, "likelihood": "continuous_bernoulli"},
    "multivariate": {"df": 0.5, "likelihood": "continuous_bernoulli"},
}


@pytest.fixture(scope="module")
def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels of which half are black or white; of one image a single pixel is observed."""
    images = (1.5 * torch.rand(6, 8, 8, generator=gen(1)) - 0.25).clamp(0, 1)
    missing = torch.rand(6, 8, 8, generator=gen(2)) < 0.5
    missing[4] = True
    missing[4, 3, 3] = missing[5] = False
    return images, missing


def quick(model, data, method: str):
    return infer(model, *data, method=method, generator=gen(3), n_draws=8, **QUICK[method])


@pytest.mark.parametrize("method", ["map", "laplace"])
@pytest.mark.parametrize("kind", MODELS)
def test_no_error_of_linear_algebra_reaches_a_person(data, kind, method):
    for scale in (1e2, 1e4):
        vae = make(kind, 3, scale, pixels=64, hidden=[20, 9], **MODELS[kind])
        for dtype in (torch.float64, torch.float32):
            found = quick(vae.to(dtype), data, method)
            assert found.mean.isfinite().all()
            assert found.codes.isfinite().all()


def test_weights_beyond_all_numbers_are_flagged(data):
    vae = make(pixels=64).float()
    with torch.no_grad():
        vae.decoder.layers[-1].bias[3] = torch.nan
    for method in QUICK:
        found = quick(vae, data, method)
        assert found.mean[:, 0, 3].isnan().all()
        if "pareto_k" in found.diagnostics:
            assert flagged(found.diagnostics)[5]  # of which that pixel is observed
