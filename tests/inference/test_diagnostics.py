import functools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from exact import F64, gen
from torch import nn

from vaefill.inference.diagnostics import (
    PROBABILITIES,
    active_coordinates,
    aggregate_quantiles,
    coordinate_kl,
    dead_units,
    diagnose,
)
from vaefill.models.distributions import Normal, StudentT
from vaefill.models.divergences import exact_kl
from vaefill.models.vae import VAE


def make(family: str = "gauss", **options) -> VAE:
    sizes = {"pixels": 4, "hidden": [6, 3], "latent": 2}
    return VAE(family, **sizes, **options, generator=gen(0))


def linear(in_features: int, weight: dict, bias: list[float]) -> nn.Linear:
    """A layer of these weights, by (output, input), all others 0."""
    layer = nn.Linear(in_features, len(bias))
    with torch.no_grad():
        layer.weight.zero_()
        for place, value in weight.items():
            layer.weight[place] = value
        layer.bias.copy_(torch.tensor(bias))
    return layer


#: To (mu, mu, logvar, logvar): the first coordinate is twice the first pixel, the second ignores
#: the image, it is the prior; and one of which both do.
USED = nn.Sequential(linear(4, {(0, 0): 2.0}, [-1.0, 0.0, math.log(0.25), 0.0]))
IDLE = nn.Sequential(linear(4, {}, [0.0] * 4))


@pytest.mark.parametrize("family", ["gauss", "t"])
def test_active_and_idle_coordinates(family):
    vae = make(family, **({"df": 5.0} if family == "t" else {}))
    vae.encoder.layers = USED
    x = torch.rand(500, 4, generator=gen())
    found = diagnose(vae, x.reshape(500, 2, 2), generator=gen())
    assert found["active"] == 1
    assert found["kl"]["1"] == pytest.approx(0, abs=1e-6)
    posterior = vae.posterior(x)
    expected = exact_kl(posterior, vae.prior).mean().item()  # all of it in the first coordinate
    assert found["kl"]["0"] == pytest.approx(expected, rel=1e-5)
    assert found["kl"]["0"] > 0.3


def test_activity_is_variance_over_images():
    mu = torch.tensor([[0.0, 0.0, 5.0], [0.21, 0.19, 5.0]])  # 0.011025, 0.009025 and 0
    assert active_coordinates(mu).tolist() == [True, False, False]
    assert not active_coordinates(mu[:1]).any()


@pytest.mark.parametrize("df", [3.0, 21.0, math.inf])
def test_coordinate_kl_against_integration(df):
    mu, logvar = torch.tensor([[0.4, -2.0]], dtype=F64), torch.tensor([[-1.5, 0.3]], dtype=F64)
    found = coordinate_kl(mu, logvar, df)
    assert found.shape == (1, 2)
    family = scipy.stats.norm if math.isinf(df) else functools.partial(scipy.stats.t, df)
    p = family()
    for m, v, value in zip(mu[0].tolist(), logvar[0].tolist(), found[0].tolist(), strict=True):
        q = family(loc=m, scale=math.exp(v / 2))
        expected = q.expect(lambda z, q=q: q.logpdf(z) - p.logpdf(z), lb=-60, ub=60)
        assert value == pytest.approx(expected, abs=1e-4)
    law = Normal if math.isinf(df) else lambda mu, logvar: StudentT(mu, logvar, df)
    whole = exact_kl(law(mu, logvar), law(torch.zeros(2), torch.zeros(2)))
    torch.testing.assert_close(found.sum(1), whole.to(F64))  # of a product


def test_coordinates_of_a_multivariate_t_are_t_and_do_not_add_up():
    vae, product = make("t", df=3.0, joint="multivariate"), make("t", df=3.0)
    x = torch.rand(50, 4, generator=gen())
    found = diagnose(vae, x, generator=gen())
    assert found["kl"] == diagnose(product, x, generator=gen())["kl"]
    joint = exact_kl(vae.posterior(x), vae.prior).mean().item()
    assert abs(sum(found["kl"].values()) - joint) > 0.01 * joint


def test_dead_units_by_hand():
    first = linear(2, {(0, 0): 1.0, (1, 0): -1.0, (2, 1): -1.0}, [0.0] * 3)
    second = linear(3, {0: 1.0, 1: -1.0}, [0.0, -1.0])
    layers = nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU())
    x = torch.tensor([[1.0, 2.0], [-1.0, 3.0]])
    # Units 0 and 1 fire for one row each, unit 2 for none; then the second unit is below 0.
    with torch.no_grad():
        assert dead_units(layers, x) == [1, 1]
        assert dead_units(layers, x[:1]) == [2, 1]
    assert x.tolist() == [[1.0, 2.0], [-1.0, 3.0]]


def test_dead_units_of_both_networks_are_named():
    vae = make()
    relus = [vae.encoder.layers[0], vae.encoder.layers[2], *vae.decoder.layers[:3:2]]
    expected = {"encoder.0": 2, "encoder.1": 1, "decoder.0": 0, "decoder.1": 5}
    with torch.no_grad():
        # Biases decide who fires: each layer's outweigh all that comes from the one before.
        for power, (layer, dead) in enumerate(zip(relus, expected.values(), strict=True), 1):
            layer.bias[:dead] = -(1000.0**power)
            layer.bias[dead:] = 1000.0**power
    assert diagnose(vae, torch.rand(9, 4), generator=gen())["dead_units"] == expected


def test_quantiles_are_of_the_active_coordinates_or_of_all_of_an_idle_model():
    codes = torch.stack([torch.linspace(0, 1, 1001), torch.full((1001,), 9.0)], dim=1)
    found = aggregate_quantiles(codes, torch.tensor([True, False]))
    assert list(found) == [f"{p:g}" for p in PROBABILITIES]
    assert (*list(found)[:2], list(found)[-1]) == ("0.0005", "0.001", "0.9995")
    for probability, quantile in found.items():
        assert quantile == pytest.approx(float(probability), abs=1e-6)
    found = aggregate_quantiles(codes, torch.tensor([False, False]))
    assert (found["0.0005"], found["0.9995"]) == (pytest.approx(0.001, abs=1e-6), 9.0)


def test_posterior_that_ignores_the_image_has_the_priors_quantiles():
    vae = make("t", df=3.0)
    vae.encoder.layers = IDLE
    found = diagnose(vae, torch.rand(20_000, 4, generator=gen()), generator=gen())
    assert found["active"] == 0
    n = 40_000
    for text, quantile in found["quantiles"].items():
        # The number of draws below the prior's quantile is binomial.
        p = float(text)
        low, high = scipy.stats.binom(n, p).ppf([1e-5, 1 - 1e-5]) / n
        assert scipy.stats.t(3.0).ppf(low) <= quantile <= scipy.stats.t(3.0).ppf(high)


def test_draws_are_the_generators():
    vae, x = make("t", df=3.0), torch.rand(50, 4, generator=gen())
    vae.encoder.layers = USED
    found = diagnose(vae, x, generator=gen())["quantiles"]
    codes = vae.posterior(x).rsample(gen())[:, 0].detach().numpy()
    np.testing.assert_allclose(
        list(found.values()), np.quantile(codes.astype(float), PROBABILITIES), rtol=1e-6
    )
