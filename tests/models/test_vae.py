import math

import pytest
import torch
from exact import gen

from vaefill.errors import InputError
from vaefill.models.conditional import ConditionalVAE
from vaefill.models.distributions import MultivariateT, Normal, StudentT
from vaefill.models.likelihoods import Bernoulli, ContinuousBernoulli
from vaefill.models.networks import INITS, linear, mlp
from vaefill.models.vae import VAE

SMALL = {"pixels": 6, "hidden": [5, 4], "latent": 2}


def make(family: str = "gauss", df: float | None = None, seed: int = 0, **settings) -> VAE:
    return VAE(family, df=df, **(SMALL | settings), generator=gen(seed))


def conv() -> ConditionalVAE:
    return ConditionalVAE("gauss", networks="conv", shape=(8, 8), widths=[4] * 4, generator=gen(0))


def test_default_sizes_are_the_slides():
    vae = VAE("gauss", generator=torch.Generator())
    shapes = [tuple(p.shape) for name, p in vae.named_parameters() if name.endswith("weight")]
    assert shapes == [(400, 784), (128, 400), (20, 128), (128, 10), (400, 128), (784, 400)]


def test_models_differ_in_the_family_alone():
    gauss, student = make("gauss"), make("t", 21.0)
    for a, b in zip(gauss.parameters(), student.parameters(), strict=True):
        assert torch.equal(a, b)
    x = torch.rand(3, 6)
    q, r = gauss.posterior(x), student.posterior(x)
    assert isinstance(q, Normal)
    assert isinstance(r, StudentT)
    assert r.df == 21.0
    assert torch.equal(q.mu, r.mu)
    assert torch.equal(q.logvar, r.logvar)
    assert torch.equal(gauss.prior.mu, torch.zeros(2))


def test_initial_weights_come_from_the_generator_alone():
    torch.manual_seed(1)
    a, first = make(seed=3), conv()
    torch.manual_seed(2)
    b, c, second = make(seed=3), make(seed=4), conv()
    for one, other in ((a, b), (first, second)):
        pairs = zip(one.parameters(), other.parameters(), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)
    assert not torch.equal(next(a.parameters()), next(c.parameters()))


def test_initial_weights_fill_pytorchs_range():
    weight = VAE("gauss", generator=gen(0)).encoder.layers[0].weight
    bound = 784**-0.5
    assert weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=1e-2)


#: Variance of a weight and of a bias, from the widths of a layer.
INIT_VARIANCES = {
    "torch": lambda n_in, n_out: (1 / (3 * n_in), 1 / (3 * n_in)),
    "he": lambda n_in, n_out: (2 / n_in, 0),
    "xavier": lambda n_in, n_out: (2 / (n_in + n_out), 0),
    "normal": lambda n_in, n_out: (1e-4, 0),
}


@pytest.mark.parametrize("init", INITS)
def test_weights_begin_with_the_variances_that_are_published(init):
    vae = VAE("gauss", init=init, generator=gen(0))
    for layer in (vae.encoder.layers[0], vae.decoder.layers[2]):
        weight, bias = INIT_VARIANCES[init](layer.in_features, layer.out_features)
        assert layer.weight.var().item() == pytest.approx(weight, rel=0.02)
        assert layer.bias.var().item() == pytest.approx(bias, rel=0.2)
        assert abs(layer.weight.mean().item()) < 0.02 * weight**0.5


def test_hes_weights_keep_the_signal_and_pytorchs_lose_it():
    """Through ReLUs: a sixth of the variance per layer is what is left."""
    x = torch.randn(2000, 400, generator=gen(0))
    kept = {}
    for init in ("torch", "he"):
        layers = mlp([400] * 4, gen(1), init)
        before, after = (layers[:depth](x).square().mean() for depth in (3, 5))
        kept[init] = (after / before).item()
    assert kept["he"] == pytest.approx(1, rel=0.1)
    assert kept["torch"] == pytest.approx(1 / 6, rel=0.2)


def test_the_default_init_takes_from_the_generator_what_it_always_took():
    generator = gen(0)
    layer = linear(5, 3, generator)
    bound = 5**-0.5
    drawn = gen(0)
    for parameter in (layer.weight, layer.bias):
        same = torch.empty(parameter.shape).uniform_(-bound, bound, generator=drawn)
        assert torch.equal(parameter, same)
    assert torch.equal(generator.get_state(), drawn.get_state())


def test_a_model_file_does_not_say_how_weights_began():
    assert make(init="he").architecture == make().architecture


JOINTS = {None: StudentT, "product": StudentT, "multivariate": MultivariateT}
PIXELS = {"bernoulli": Bernoulli, "continuous_bernoulli": ContinuousBernoulli}


@pytest.mark.parametrize("joint", JOINTS)
@pytest.mark.parametrize("likelihood", PIXELS)
def test_joint_and_likelihood_choose_distributions_and_no_weights(joint, likelihood):
    vae, plain = make("t", 5.0, joint=joint, likelihood=likelihood), make()
    x = torch.rand(3, 6)
    code = vae.posterior(x)
    assert type(code) is type(vae.prior) is JOINTS[joint]
    assert code.df == vae.prior.df == 5.0
    law = vae.likelihood(code.mu)
    assert type(law) is PIXELS[likelihood]
    assert torch.equal(law.logits, plain.decoder(plain.posterior(x).mu))


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        ("t", {"df": 0.0}, r"df = 0\.0: .*above 0"),
        ("t", {"df": -1.0}, r"df = -1\.0: .*above 0"),
        ("t", {"df": math.nan}, r"df = nan: .*above 0"),
        ("t", {}, r"df = None: .*above 0"),
        ("t", {"df": 5.0, "joint": "both"}, r"joint = 'both': must be one of product, multivar"),
        ("gauss", {"df": 21}, r"df = 21: the Gaussian model has none; leave it out"),
        ("gauss", {"joint": "product"}, r"joint = product: the Gaussian model has none"),
        ("gauss", {"likelihood": "normal"}, r"likelihood = 'normal': must be one of bernoulli, c"),
        ("gauss", {"init": "zeros"}, r"init = 'zeros': must be one of torch, he, xavier, normal"),
        ("cauchy", {}, r"family = 'cauchy': must be one of gauss, t"),
    ],
)
def test_what_does_not_fit_is_named(family, settings, message):
    with pytest.raises(InputError, match=message):
        make(family, **settings)
