"""The conditional VAE: its bound against integrals over the code, and training on hidden pixels."""

import math
from functools import partial

import pytest
import torch
from exact import gen

from vaefill.errors import InputError
from vaefill.inference import infer
from vaefill.missingness.mixture import draw_mixture
from vaefill.models.conditional import ConditionalElbo, ConditionalVAE, conditional_elbo
from vaefill.models.divergences import exact_kl
from vaefill.models.likelihoods import Bernoulli
from vaefill.training.fit import fit

TOP = {"half": {"weight": 1, "side": "top"}}


def hiding(parts):
    return lambda n, rng: draw_mixture(n, 8, 8, parts=parts, rng=rng)


MODELS = [("gauss", None, None), ("t", 4.0, "product"), ("t", 4.0, "multivariate")]
each_model = pytest.mark.parametrize(("family", "df", "joint"), MODELS)
TOP_HIDDEN = torch.tensor([True, False]).repeat_interleave(32)


@pytest.fixture(params=["mlp", "conv"])
def networks(request) -> str:
    return request.param


WIDTHS = {"mlp": [16, 8], "conv": [4, 8, 8, 16]}


def make(family="gauss", df=None, joint=None, networks="mlp", **settings) -> ConditionalVAE:
    settings = {"widths": WIDTHS.get(networks), "latent": 2, "shape": (8, 8)} | settings
    return ConditionalVAE(
        family, df=df, joint=joint, networks=networks, generator=gen(0), **settings
    )


def moved(vae: ConditionalVAE) -> ConditionalVAE:
    """Weights far from their start, so that p(z|x_o), q(z|x) and the code all matter."""
    generator = gen(5)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return vae


@each_model
def test_terms_by_hand(digits, networks, family, df, joint):
    vae = moved(make(family, df, joint, networks=networks))
    bound = conditional_elbo(vae, digits, gen(), hide=hiding(TOP))
    hidden = TOP_HIDDEN.expand(60, 64)
    generator = gen()
    torch.randint(2**62, (), generator=generator)  # the seed of what is hidden
    mu, prior, likelihood = vae.condition(digits, ~hidden)
    posterior = vae.posterior(digits, ~hidden)
    codes = {"reconstruction": posterior.rsample(generator), "single_pass": mu}
    for name, code in codes.items():
        logits = likelihood(code).logits.double()
        terms = digits * logits.sigmoid().log() + (1 - digits) * (-logits).sigmoid().log()
        expected = terms.where(hidden, 0).sum(1)
        value = getattr(bound, name).double()
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)
    # It is the method of that name, which sees no hidden pixel.
    images = digits.masked_fill(hidden, math.nan).reshape(60, 8, 8)
    predicted = infer(vae, images, images.isnan(), method="single_pass", generator=gen()).mean
    torch.testing.assert_close(predicted.flatten(1), likelihood(mu).mean)
    torch.testing.assert_close(bound.kl, exact_kl(posterior, prior))


def test_loss_is_half_the_bound_and_half_the_single_pass():
    bound = ConditionalElbo(*map(torch.tensor, ([-3.0, -5.0], [2.0, 4.0], [-1.0, -7.0])))
    # Image by image: (3 + 2 + 1) / 2 and (5 + 4 + 7) / 2; with half the KL, 5 / 2 and 14 / 2.
    assert bound.loss().item() == (3 + 8) / 2
    assert bound.loss(0.5).item() == (2.5 + 7) / 2


@pytest.mark.parametrize("joint", ["product", "multivariate"])
def test_without_heavy_tails_a_t_has_the_terms_of_the_gaussian(digits, joint):
    # The same weights, and nearly the same noise from the same generator.
    gauss, t = (moved(make(*family)) for family in (("gauss",), ("t", math.inf, joint)))
    bounds = [conditional_elbo(vae, digits, gen(), hide=hiding(TOP)) for vae in (gauss, t)]
    for of_gauss, of_t in zip(*bounds, strict=True):
        torch.testing.assert_close(of_t, of_gauss, rtol=1e-4, atol=1e-3)


def test_the_code_of_a_t_model_lives_as_that_of_a_gaussian_one():
    # The top is bright or dark whatever the bottom is: a code of one bit.
    bright = torch.arange(60)[:, None] % 2 == 0
    x = (bright & TOP_HIDDEN).float()
    codes = {}
    for family, df in (("gauss", None), ("t", 21.0)):
        history = fit(
            make(family, df, "product" if df else None), x, x, epochs=15, batch_size=10,
            lr=2e-2, bound=partial(conditional_elbo, hide=hiding(TOP)), generator=gen(),
        )  # fmt: skip
        codes[family] = history[-1].valid_kl
    assert codes["gauss"] > math.log(2)
    assert codes["t"] == pytest.approx(codes["gauss"], rel=0.2)


def test_each_step_hides_other_pixels_where_they_are_hidden_by_chance(digits):
    vae, generator = moved(make()), gen()
    hide = hiding({"random": {"weight": 1, "fraction": [0.1, 0.9]}})
    first, second = (conditional_elbo(vae, digits, generator, hide=hide) for _ in range(2))
    ratio = first.reconstruction / second.reconstruction
    assert ratio.max() > 1.5
    assert ratio.min() < 0.67


@each_model
def test_bound_lies_below_the_log_likelihood_of_what_is_hidden(digits, family, df, joint):
    # One coordinate: ln p(x_m|x_o) and KL(q(z|x) || p(z|x)), the gap, are integrals over a line.
    vae, x = moved(make(family, df, joint, latent=1)).double(), digits[:6].double()
    hidden, n_nodes, n_draws = TOP_HIDDEN.expand(6, 64), 6_001, 200
    with torch.no_grad():
        mu, prior, likelihood = vae.condition(x, ~hidden)
        z = mu + torch.linspace(-60, 60, n_nodes, dtype=torch.float64)[:, None, None]
        log_joint = likelihood(z).log_prob(x.expand(n_nodes, 6, 64), hidden) + prior.log_prob(z)
        log_q = vae.posterior(x, ~hidden).log_prob(z)
        bound = conditional_elbo(vae, x.repeat(n_draws, 1), gen(), hide=hiding(TOP))
    step = 120 / (n_nodes - 1)
    log_likelihood = log_joint.logsumexp(0) + math.log(step)
    divergence = step * (log_q.exp() * (log_q - log_joint + log_likelihood)).sum(0)
    values = (bound.reconstruction - bound.kl).reshape(n_draws, 6)
    gap, error = log_likelihood - values.mean(0), values.std(0) / math.sqrt(n_draws)
    assert (divergence > 0).all()
    assert ((gap - divergence).abs() < 4 * error).all()


def test_what_is_missing_is_never_looked_at(digits, networks):
    vae = moved(make(networks=networks))
    hidden = torch.rand(60, 64, generator=gen(2)) < 0.4
    z = torch.randn(60, 2, generator=gen(3))
    seen = [
        (condition.mu, condition.likelihood(z).mean)
        for condition in (
            vae.condition(digits, ~hidden),
            vae.condition(digits.masked_fill(hidden, math.nan), ~hidden),
        )
    ]
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


def test_code_observed_pixels_and_their_places_all_reach_the_prediction(digits, networks):
    vae = moved(make(networks=networks))
    observed = torch.rand(60, 64, generator=gen(2)) < 0.6
    x = digits.where(observed, 0)
    z = torch.randn(60, 2, generator=gen(3))
    first = vae.condition(x, observed).likelihood(z).mean
    for other in (
        vae.condition(x, observed).likelihood(z + 1).mean,
        vae.condition((x + 0.1 * observed).clamp(max=1), observed).likelihood(z).mean,
        # The same zeros, now said to be observed.
        vae.condition(x, torch.ones_like(observed)).likelihood(z).mean,
    ):
        assert ((other - first).abs().amax(1) > 1e-4).all()


def test_draws_and_images_do_not_matter_to_each_other(digits, networks):
    vae = moved(make(networks=networks))
    observed = torch.rand(60, 64, generator=gen(2)) < 0.6
    z = torch.randn(3, 60, 2, generator=gen(3))
    together = vae.condition(digits, observed).likelihood(z).mean
    assert together.shape == (3, 60, 64)
    for draw in range(3):
        alone = vae.condition(digits[7:9], observed[7:9]).likelihood(z[draw, 7:9]).mean
        torch.testing.assert_close(together[draw, 7:9], alone)


@pytest.mark.parametrize(("networks", "family", "df"), [("mlp", "gauss", None), ("conv", "t", 5.0)])
def test_training_learns_more_than_the_mean_image(digits, networks, family, df):
    vae = make(family, df, networks=networks)
    history = fit(
        vae, digits[:48], digits[48:], epochs=20, batch_size=16, lr=2e-2, schedule="one_cycle",
        bound=partial(conditional_elbo, hide=hiding(TOP)), generator=gen(),
    )  # fmt: skip
    mean_image = Bernoulli(torch.logit(digits[:48].mean(0)))
    by_mean = -mean_image.log_prob(digits[48:], TOP_HIDDEN.expand(12, 64)).mean()
    # The half below says whether the half above is bright, dark, or split down the middle.
    assert history[-1].valid_loss < 0.75 * by_mean.item()


def test_bfloat16_comes_near_float32(digits):
    vae = moved(make(networks="conv", widths=[16, 16, 16, 16]))
    full, mixed = (
        conditional_elbo(vae, digits, gen(), hide=hiding(TOP), mixed_precision=mixed)
        for mixed in (False, True)
    )
    assert mixed.reconstruction.dtype == mixed.kl.dtype == torch.float32
    torch.testing.assert_close(mixed.reconstruction, full.reconstruction, rtol=0.03, atol=0.3)
    assert not torch.equal(mixed.reconstruction, full.reconstruction)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"networks": "cnn"}, r"networks = 'cnn': must be one of mlp, conv"),
        ({"family": "cauchy"}, r"family = 'cauchy'"),
        ({"likelihood": "normal"}, r"likelihood = 'normal'"),
        ({"df": 3.0}, r"df = 3.0: the Gaussian model has none"),
        ({"networks": "conv", "shape": (8, 10)}, r"8 x 10 pixels: sides must be multiples of 4"),
        (
            {"networks": "conv", "widths": [24, 48]},
            r"widths = \[24, 48\]: must be four .* full, half",
        ),
    ],
)
def test_unknown_parts_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        make(**settings)


def test_the_corners_of_an_image_meet_in_the_hidden_layer_alone():
    vae = moved(make(networks="conv", shape=(64, 64)))
    x, observed = torch.rand(1, 64, 64, generator=gen()), torch.ones(1, 4096, dtype=torch.bool)
    x[0, 0, 0] = 0
    other = x.clone()
    other[0, 0, 0] = 1

    def far_corner(image):
        conditioned = vae.condition(image.flatten(1), observed)
        return conditioned.likelihood(torch.zeros(1, 2)).logits[0, -1].item()

    assert far_corner(x) != far_corner(other)
    with torch.no_grad():
        for parameter in vae.networks.whole.parameters():
            parameter.zero_()
    assert far_corner(x) == far_corner(other)


def test_blocks_start_as_nothing_and_learn():
    vae = make(networks="conv")
    block = vae.networks.fine[1]
    x = torch.randn(2, 8, 4, 4, generator=gen())
    torch.testing.assert_close(block(x), x + block.second.bias[:, None, None])
    block(x).square().sum().backward()
    assert block.second.weight.grad.abs().max() > 0
