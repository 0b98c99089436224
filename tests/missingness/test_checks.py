"""What every function that takes images makes of them: one table of functions, one of inputs."""

import math

import numpy as np
import pytest
import torch
from exact import gen

from vaefill.baselines import BASELINES
from vaefill.errors import InputError
from vaefill.inference import impute, infer, predict
from vaefill.missingness.checks import as_batch
from vaefill.models import VAE, ConditionalVAE

PLAIN = VAE("t", df=5.0, pixels=64, hidden=[9], latent=2, generator=gen(0))
MLP = ConditionalVAE("gauss", shape=(8, 8), widths=[9, 5], latent=2, generator=gen(0))
CONV = ConditionalVAE(
    "gauss", networks="conv", shape=(8, 8), widths=[4] * 4, latent=2, generator=gen(0)
)
TRAIN = torch.rand(20, 8, 8, generator=gen(1))
#: Those that give images back in the form in which they came.
ALIKE = {
    "predict": lambda x, m: predict(PLAIN, x, m),
    "predict, conditional": lambda x, m: predict(CONV, x, m),
    "impute": lambda x, m: impute(x, m, predict(PLAIN, x, m)),
    **{name: lambda x, m, fill=fill: fill(TRAIN, x, m) for name, fill in BASELINES.items()},
}
#: Those that infer, and give Tensors.
INFERRED = {
    "infer": lambda x, m: infer(PLAIN, x, m, method="map", generator=gen(0)).mean,
    "infer, draws": lambda x, m: infer(MLP, x, m, method="draws", generator=gen(0)).mean,
}
FUNCTIONS = ALIKE | INFERRED
each_function = pytest.mark.parametrize("function", FUNCTIONS)


@pytest.fixture
def images(digits) -> torch.Tensor:
    return digits[:12].reshape(12, 8, 8)


@pytest.fixture
def missing() -> torch.Tensor:
    """Of every kind; image 1 is complete, image 2 empty."""
    missing = torch.rand(12, 8, 8, generator=gen(2)) < torch.linspace(0.1, 0.9, 12)[:, None, None]
    missing[1], missing[2] = False, True
    return missing


@each_function
def test_arrays_and_tensors_one_image_and_many_are_the_same(function, images, missing):
    expected = FUNCTIONS[function](images, missing)
    for dtype in (torch.float32, torch.float64):
        x = images.to(dtype)
        for form in (lambda a: a, lambda a: a.numpy()):
            many = FUNCTIONS[function](form(x), form(missing))
            one = FUNCTIONS[function](form(x)[3], form(missing)[3])
            kind = type(form(x)) if function in ALIKE else torch.Tensor
            assert type(many) is type(one) is kind
            assert tuple(one.shape) == (8, 8)
            np.testing.assert_allclose(many, expected, atol=1e-5)
            if function != "infer, draws":  # which are others for an image alone
                np.testing.assert_allclose(one, expected[3], atol=1e-5)
            none = FUNCTIONS[function](form(x)[:0], form(missing)[:0])
            assert type(none) is kind
            assert tuple(none.shape) == (0, 8, 8)


@each_function
def test_what_is_missing_is_not_looked_at_and_nothing_is_written(function, images, missing):
    hidden = images.masked_fill(missing, math.nan)
    before = hidden.clone()
    seen, unseen = (FUNCTIONS[function](x, missing) for x in (images, hidden))
    assert torch.equal(seen, unseen)
    torch.testing.assert_close(hidden, before, rtol=0, atol=0, equal_nan=True)


def test_observed_pixels_stay_bit_by_bit_in_their_own_precision(images, missing):
    x = images.double() / 3
    filled = impute(x.numpy(), missing, predict(PLAIN, x, missing))
    assert filled.dtype == np.float64
    np.testing.assert_array_equal(filled[~missing], x[~missing])
    np.testing.assert_array_equal(filled[missing], predict(PLAIN, x, missing)[missing])


def change_observed(value):
    def change(x, m):
        x = x.clone()
        for image in (1, 7):
            x[image][tuple((~m[image]).nonzero()[0])] = value
        return x, m

    return change


BAD = {
    "a float mask": (lambda x, m: (x, m.float()), r"missing: float32 of .*; must be bool, True"),
    "a mask of numbers": (lambda x, m: (x, m.numpy().astype(int)), r"missing: int64 of .* bool"),
    "a shorter mask": (lambda x, m: (x, m[:-1]), r"missing: bool of shape \(11, 8, 8\)"),
    "one mask for all": (lambda x, m: (x, m[0]), r"missing: bool of shape \(8, 8\).* \(12, 8, 8\)"),
    "one axis": (lambda x, m: (x[0, 0], m[0, 0]), r"images: float32 of shape \(8,\); must be"),
    "four axes": (lambda x, m: (x[None], m[None]), r"images: float32 of shape \(1, 12, 8, 8\)"),
    "bytes": (lambda x, m: ((255 * x).byte(), m), r"images: uint8 of .*; must be floats in \[0"),
    "0 to 255": (lambda x, m: (255 * x, m), r"images: 11 of 12 have .* number 0: \d+.*; scale"),
    "nan": (change_observed(math.nan), r"images: 2 of 12 have .* outside \[0, 1\], .* 1: nan"),
    "negative": (change_observed(-1e-6), r"images: 2 of 12 .* first number 1: -1e-06; .* missing$"),
    "other size": (lambda x, m: (x[:, 1:], m[:, 1:]), r"images.*(7 x 8 pixels.* trained|\(7, 8\))"),
}


@pytest.mark.parametrize("case", BAD)
@each_function
def test_bad_input_is_named_in_one_line(function, case, images, missing):
    change, message = BAD[case]
    with pytest.raises(InputError, match=f"^(training )?{message}") as error:
        FUNCTIONS[function](*change(images, missing))
    assert "\n" not in str(error.value)


def test_bad_predictions_are_named(images, missing):
    with pytest.raises(InputError, match=r"prediction: shape \(1, 12, 8\); must be the images',"):
        impute(images, missing, torch.zeros(12, 8))
    with pytest.raises(InputError, match=r"prediction: int64 of shape"):
        impute(images, missing, torch.zeros(12, 8, 8, dtype=torch.int64))


def test_arrays_that_pytorch_would_not_take():
    x = np.random.default_rng(0).random((3, 4, 5))
    fixed = x.copy()
    fixed.flags.writeable = False
    others = x.astype(">f8"), x.astype(np.float16), np.asfortranarray(x)
    for array in (x[::-1, :, ::-1], fixed, *others):
        batch, gaps = as_batch(array)
        np.testing.assert_array_equal(batch, array)
        assert batch.dtype == (torch.float32 if array.dtype == np.float16 else torch.float64)
        assert not gaps.any()
