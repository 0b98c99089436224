"""What holds for every method: what is looked at, what is refused, and the prior's part."""

import math

import pytest
import scipy.stats
import torch
from exact import KINDS, gen, make

from vaefill.errors import InputError
from vaefill.inference import METHODS, Inferred, flagged, infer
from vaefill.models import VAE, ConditionalVAE

EXACT = ["metropolis_within_gibbs", "importance", "laplace", "refit"]
QUICK = {
    "pseudo_gibbs": {"n_iterations": 20, "n_warmup": 3},
    "metropolis_within_gibbs": {"n_iterations": 20, "n_warmup": 3},
    "importance": {"n_proposals": 40},
    "laplace": {"n_proposals": 40},
    "refit": {"n_proposals": 40, "n_steps": 3},
}

CONDITIONAL = ConditionalVAE("gauss", shape=(3, 4), widths=[4], latent=1, generator=gen(0))


def data(n: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of 3 x 4; of number 3 nothing is observed, of number 5 everything."""
    images = torch.rand(n, 3, 4, generator=gen(2), dtype=torch.float64)
    missing = torch.rand(n, 3, 4, generator=gen(3)) < 0.4
    missing[3], missing[5] = True, False
    return images, missing


def quick(vae: VAE, images, missing, method: str, seed: int = 1, **options) -> Inferred:
    settings = {"n_draws": 8, **QUICK.get(method, {}), **options}
    generator = torch.Generator(next(vae.parameters()).device).manual_seed(seed)
    return infer(vae, images, missing, method=method, generator=generator, **settings)


each_method = pytest.mark.parametrize("method", METHODS[VAE])
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_method
@each_kind
def test_missing_pixels_are_never_looked_at(kind, method):
    vae, (images, missing) = make(kind), data()
    seen = quick(vae, images, missing, method)
    hidden = quick(vae, images.masked_fill(missing, math.nan), missing, method)
    assert seen.mean.shape == (10, 3, 4)
    assert seen.codes.shape == (1 if method == "map" else 8, 10, 2)
    assert all(part.shape == (10,) for part in seen.diagnostics.values())
    assert ((seen.mean >= 0) & (seen.mean <= 1)).all()
    assert seen.codes.isfinite().all()
    torch.testing.assert_close(hidden, seen, rtol=0, atol=0, equal_nan=True)
    if method != "map":  # draws are the generator's
        other = quick(vae, images, missing, method, seed=2)
        assert (other.codes != seen.codes).all(-1).any(0).all()


@pytest.mark.parametrize("method", ["single_pass", "iterated", "map"])
def test_batches_do_not_matter_without_draws(method):
    vae, (images, missing) = make(), data()
    some = torch.arange(10) != 3
    whole = quick(vae, images[some], missing[some], method)
    parts = quick(vae, images[some], missing[some], method, batch_size=2)
    torch.testing.assert_close(parts.mean, whole.mean, rtol=0, atol=1e-9)
    for name, values in whole.diagnostics.items():
        found = parts.diagnostics[name]
        torch.testing.assert_close(found, values, rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("method", EXACT)
def test_batches_matter_by_their_draws_alone(method):
    vae, (images, missing) = make(), data()
    settings = {"n_chains": 20} if "gibbs" in method else {"n_proposals": 1000}
    whole, parts = (
        infer(vae, images, missing, method=method, generator=gen(), batch_size=size, **settings)
        for size in (250, 3)
    )
    some = torch.arange(10) != 3
    ess = torch.minimum(whole.diagnostics["ess"], parts.diagnostics["ess"])[some]
    error = (whole.mean - parts.mean).flatten(1)[some].abs() * ess.sqrt().unsqueeze(-1)
    assert error.max() < 5 * 0.5 * 2**0.5  # the standard deviation of a mean is at most 1 / 2


@each_method
@each_kind
def test_nothing_observed_gives_the_prior(kind, method):
    vae, images = make(kind), torch.full((5, 3, 4), math.nan, dtype=torch.float64)
    missing = torch.ones(5, 3, 4, dtype=torch.bool)
    inferred = quick(vae, images, missing, method, n_draws=80)
    if method != "map":
        law = scipy.stats.norm() if kind == "gauss" else scipy.stats.t(vae.architecture["df"])
        coordinate = inferred.codes[..., 0].flatten()
        assert scipy.stats.kstest(coordinate, law.cdf).pvalue > 1e-4
        mean = vae.likelihood(inferred.codes).mean.mean(0)
        torch.testing.assert_close(inferred.mean.flatten(1), mean.detach())
    assert not inferred.diagnostics or not flagged(inferred.diagnostics).any()
    assert all(values.isnan().all() for values in inferred.diagnostics.values())


@pytest.mark.parametrize("method", sorted(METHODS[VAE].keys() - set(EXACT)))
def test_everything_observed_is_a_reconstruction(method):
    vae, (images, missing) = make(), data()
    x, settings = images[5:6].flatten(1), {"n_chains": 40} if "gibbs" in method else {}
    inferred = infer(vae, images[5:6], missing[5:6], method=method, generator=gen(), **settings)
    mean = inferred.mean.flatten(1)
    if method == "pseudo_gibbs":
        drawn = vae.likelihood(vae.posterior(x).rsample(gen(5), (8000,))).mean
        assert ((mean - drawn.mean(0)) / drawn.std(0)).abs().max() < 5 * 2**0.5 / 8000**0.5
    else:
        drawn = method in ("map", "single_draw")
        code = inferred.codes[0] if drawn else vae.encoder(x)[0]
        torch.testing.assert_close(mean, vae.likelihood(code).mean)


@each_method
def test_no_image_at_all_and_the_models_dtype(method):
    images, missing = data()
    none = quick(make(), images[:0], missing[:0], method)
    assert none.mean.shape == (0, 3, 4)
    assert none.codes.shape[1:] == (0, 2)
    assert all(part.shape == (0,) for part in none.diagnostics.values())
    narrow = quick(make().float(), images, missing, method)
    assert narrow.mean.dtype == narrow.codes.dtype == torch.float32
    assert narrow.mean.isfinite().all()
    assert not narrow.mean.requires_grad


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (
            make(),
            {"method": "gibbs"},
            "method = 'gibbs': must be one of single_pass, single_draw, iterated, map",
        ),
        (make(), {"n_draws": 0}, "n_draws = 0: must be at least 1"),
        (make(), {"batch_size": 0}, "batch_size = 0: must be at least 1"),
        (CONDITIONAL, {"method": "map"}, "method = 'map': must be one of single_pass, draws"),
        (CONDITIONAL, {"n_averaged": 0}, "n_averaged = 0: must be at least 1"),
    ],
)
def test_bad_settings_are_named(model, options, message):
    method = "draws" if model is CONDITIONAL else "iterated"
    with pytest.raises(InputError, match=message):
        infer(model, *data(), **{"method": method, "generator": gen()} | options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@each_method
@each_kind
def test_on_a_gpu(kind, method):
    images, missing = data()
    inferred = quick(make(kind).cuda(), images, missing, method)
    assert inferred.mean.device.type == inferred.codes.device.type == "cpu"
    assert inferred.mean.isfinite().all()
    if method in ("single_pass", "iterated", "map"):
        expected = quick(make(kind), images, missing, method)
        some = torch.arange(10) != 3
        torch.testing.assert_close(inferred.mean[some], expected.mean[some], rtol=0, atol=1e-6)
