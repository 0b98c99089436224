"""Against steps by hand, and a fixed point in closed form."""

import pytest
import torch
from exact import KINDS, LinearGaussian, gen, incomplete, make

from vaefill.inference.iterated import fill, iterated
from vaefill.inference.single_pass import predict, single_draw, single_pass


@pytest.mark.parametrize("kind", KINDS)
def test_single_pass_by_hand(kind):
    # Layer by layer, with the zeros written into a copy.
    vae, (images, observed) = make(kind), incomplete(8)
    x = images.clone()
    x[~observed] = 0
    for layer in vae.encoder.layers:
        x = layer(x)
    z = x[:, :2]
    for layer in vae.decoder.layers:
        z = layer(z)
    expected = 1 / (1 + torch.exp(-z))
    if kind == "continuous":
        expected = expected.where(z == 0, 1 / (1 - torch.exp(-z)) - 1 / z)
    inferred = single_pass(vae, images, observed, generator=gen(), n_draws=20)
    torch.testing.assert_close(inferred.mean, expected.detach(), rtol=1e-6, atol=1e-8)
    assert torch.equal(inferred.codes, vae.posterior(images).rsample(gen(), (20,)))
    assert inferred.diagnostics == {}
    none = iterated(vae, images, observed, generator=gen(), n_draws=20, n_iterations=0)
    assert torch.equal(none.mean, inferred.mean)
    assert torch.equal(none.codes, inferred.codes)
    shape = (8, 3, 4)
    predicted = predict(vae, images.reshape(shape), ~observed.reshape(shape), batch_size=3)
    torch.testing.assert_close(predicted.flatten(1), inferred.mean)


@pytest.mark.parametrize("kind", KINDS)
def test_single_draw_decodes_the_first_draw_and_no_mean(kind):
    vae, (images, observed) = make(kind), incomplete(8)
    found = single_draw(vae, images, observed, generator=gen(), n_draws=3)
    codes = vae.posterior(images.where(observed, 0)).rsample(gen(), (3,))
    assert torch.equal(found.codes, codes)
    assert torch.equal(found.mean, vae.likelihood(codes[0]).mean)


def test_two_iterations_by_hand():
    vae, (x, observed) = make(), incomplete(4)
    x[0], observed[0] = 0.5, True  # so that nothing changes
    filled = x.clone()
    for _ in range(2):
        mean = torch.sigmoid(vae.decoder(vae.encoder(filled)[0]))
        filled[~observed] = mean[~observed]
    mu, logvar = vae.encoder(filled)
    expected = torch.sigmoid(vae.decoder(mu))
    assert torch.equal(fill(vae, x, observed, n_iterations=2)[0], filled)
    inferred = iterated(vae, x, observed, generator=gen(), n_draws=3, n_iterations=2)
    torch.testing.assert_close(inferred.mean, expected)
    torch.testing.assert_close(inferred.codes, vae.family(mu, logvar).rsample(gen(), (3,)))
    for image in range(4):
        gap = ~observed[image]
        change = (expected - filled)[image, gap].square().mean().sqrt()
        found = inferred.diagnostics["change"][image]
        torch.testing.assert_close(found, change, equal_nan=True)


def test_iterations_converge_to_the_posterior_mean_of_a_linear_gaussian():
    model = LinearGaussian()
    x, observed = model.incomplete(20)
    exact, _ = model.exact(x, observed)
    inferred = iterated(model, x, observed, generator=gen(), n_iterations=300)
    torch.testing.assert_close(inferred.mean, exact.mean)
    few = [
        iterated(model, x, observed, generator=gen(), n_iterations=n).diagnostics["change"]
        for n in (2, 10)
    ]
    assert (few[1] <= few[0]).all()
