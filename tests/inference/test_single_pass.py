import math

import pytest
import torch

from vaefill.errors import InputError
from vaefill.inference.single_pass import METHODS, impute, predict, single_pass
from vaefill.models.vae import VAE


@pytest.fixture(params=[("gauss", None), ("t", 5.0)], ids=["gauss", "t"])
def vae(request) -> VAE:
    family, df = request.param
    generator = torch.Generator().manual_seed(0)
    return VAE(family, df=df, pixels=64, hidden=[20, 9], latent=3, generator=generator)


@pytest.fixture
def missing(digits) -> torch.Tensor:
    return torch.rand(60, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.4


def test_single_pass_by_hand(vae, digits, missing):
    # Layer by layer, with the zeros written into a copy.
    x = digits.clone()
    x[missing.flatten(1)] = 0
    for layer in vae.encoder.layers:
        x = layer(x)
    z = x[:, :3]
    for layer in vae.decoder.layers:
        z = layer(z)
    expected = 1 / (1 + torch.exp(-z))
    torch.testing.assert_close(single_pass(vae, digits, ~missing.flatten(1)), expected)


@pytest.mark.parametrize("method", METHODS)
def test_missing_pixels_are_never_looked_at(vae, digits, missing, method):
    images = digits.reshape(60, 8, 8)
    hidden = images.masked_fill(missing, math.nan)
    seen = predict(vae, images, missing, method=method)
    assert torch.equal(seen, predict(vae, hidden, missing, method=method))
    assert seen.isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_batches_do_not_matter(vae, digits, missing, method):
    images = digits.reshape(60, 8, 8)
    whole = predict(vae, images, missing, method=method, batch_size=60)
    parts = predict(vae, images, missing, method=method, batch_size=7)
    assert whole.shape == (60, 8, 8)
    torch.testing.assert_close(parts, whole)


def test_imputation_keeps_observed_pixels_bit_by_bit(vae, digits, missing):
    images = digits.reshape(60, 8, 8)
    prediction = predict(vae, images, missing)
    filled = impute(images, missing, prediction)
    assert torch.equal(filled[~missing], images[~missing])
    assert torch.equal(filled[missing], prediction[missing])


def test_nothing_missing_is_the_reconstruction(vae, digits):
    prediction = predict(vae, digits.reshape(60, 8, 8), torch.zeros(60, 8, 8, dtype=torch.bool))
    expected = vae.likelihood(vae.posterior(digits).mu).mean
    torch.testing.assert_close(prediction.flatten(1), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, m: (x, m.float()), r"missing: torch.float32 .* must be torch.bool"),
        (lambda x, m: (x, m[:-1]), r"missing: torch.bool of shape \(59, 8, 8\)"),
        (lambda x, m: (x[:, 1:], m[:, 1:]), r"images: 56 pixels each; .* trained on 64"),
    ],
)
def test_bad_input_is_named(vae, digits, missing, change, message):
    with pytest.raises(InputError, match=message):
        predict(vae, *change(digits.reshape(60, 8, 8), missing))
