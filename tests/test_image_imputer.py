"""Image models behind the imputer's face: files of the pipeline fill in pixels."""

import numpy as np
import pytest
import torch

from vaefill import VAEImputer
from vaefill.errors import InputError
from vaefill.image_imputer import BEST, ImageImputer
from vaefill.inference.methods import METHODS, infer
from vaefill.models import VAE, ConditionalVAE, save

MODELS = {
    "vae": lambda generator: VAE("t", pixels=64, hidden=[8], latent=2, df=5.0, generator=generator),
    "conditional": lambda generator: ConditionalVAE(
        "gauss", shape=[8, 8], widths=[4, 3], latent=2, generator=generator
    ),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param](torch.Generator().manual_seed(0)).eval()


@pytest.fixture
def images(digits):
    x = digits[:4].reshape(-1, 8, 8).numpy().copy()
    x[:, :3, 2:] = np.nan
    x[1] = np.nan
    return x


def test_the_file_of_an_image_model_fills_in_pixels(model, images, tmp_path):
    save(tmp_path / "model", model)
    imputer = VAEImputer.load(tmp_path / "model")
    assert isinstance(imputer, ImageImputer)
    before = images.copy()
    filled = imputer.transform(images)
    np.testing.assert_array_equal(images, before)
    missing = np.isnan(images)
    assert filled.dtype == images.dtype
    np.testing.assert_array_equal(filled[~missing], images[~missing])
    expected = infer(
        model,
        images,
        missing,
        method=BEST[type(model)],
        generator=torch.Generator().manual_seed(0),
    )
    np.testing.assert_array_equal(filled[missing], expected.mean.numpy()[missing])
    flat = images.reshape(len(images), -1)
    np.testing.assert_array_equal(imputer.transform(flat), filled.reshape(flat.shape))
    np.testing.assert_array_equal(
        imputer.transform(images.tolist()), imputer.transform(images * 1.0)
    )


def test_another_method_is_taken_by_choice(model, images):
    filled = ImageImputer(model, method="single_pass").transform(images)
    assert np.isfinite(filled).all()
    with pytest.raises(InputError, match=r"method = 'guess': must be in single_pass, "):
        ImageImputer(model, method="guess")
    assert BEST[type(model)] in METHODS[type(model)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, 1:], "pixels"),
        (lambda x: x.reshape(len(x), -1)[:, 1:], "X: 63 pixels; the model was trained on 64"),
        (lambda x: x * 255, r"observed pixel outside \[0, 1\]"),
        (lambda x: np.nan_to_num(x).astype(int), r"floats in \[0, 1\]"),
    ],
)
def test_what_is_no_image_of_the_model_is_refused(model, images, change, message):
    with pytest.raises(InputError, match=message):
        ImageImputer(model).transform(change(images))
