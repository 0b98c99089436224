import math

import numpy as np
import pytest
import torch
from skimage.restoration import inpaint_biharmonic
from sklearn.impute import KNNImputer

from vaefill.baselines import BASELINES, QUANTISATION, biharmonic, gaussian, knn, mean, zero
from vaefill.errors import InputError


@pytest.fixture
def train(digits) -> torch.Tensor:
    return digits[:40].reshape(40, 8, 8)


@pytest.fixture
def images(digits) -> torch.Tensor:
    return digits[40:].reshape(20, 8, 8)


@pytest.fixture
def missing() -> torch.Tensor:
    """Of every kind: few and many missing, unequal counts; image 0 complete, image 1 empty."""
    rng = np.random.default_rng(1)
    missing = torch.from_numpy(rng.random((20, 8, 8)) < np.linspace(0.05, 0.95, 20)[:, None, None])
    missing[0], missing[1] = False, True
    return missing


@pytest.mark.parametrize("name", BASELINES)
def test_prediction_keeps_what_is_observed_and_lies_in_0_1(name, train, images, missing):
    prediction = BASELINES[name](train, images, missing)
    assert prediction.shape == images.shape
    assert prediction.dtype == torch.float32
    assert torch.equal(prediction[~missing], images[~missing])
    assert ((prediction >= 0) & (prediction <= 1)).all()


@pytest.mark.parametrize("name", BASELINES)
def test_wholly_missing_is_the_training_mean(name, train, images, missing):
    expected = np.zeros((8, 8)) if name == "zero" else train.numpy().mean(0)
    prediction = BASELINES[name](train, images, missing)
    np.testing.assert_allclose(prediction[1], expected, rtol=1e-6)
    alone = BASELINES[name](train, images[1:2], missing[1:2])
    np.testing.assert_allclose(alone[0], expected, rtol=1e-6)


@pytest.mark.parametrize("name", BASELINES)
def test_an_image_does_not_depend_on_the_others(name, train, images, missing):
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    whole = BASELINES[name](train, images, missing)
    torch.testing.assert_close(BASELINES[name](train, images[order], missing[order]), whole[order])


def test_zero_and_mean_by_hand():
    train = torch.tensor([[[0.0, 0.2]], [[1.0, 0.4]]])
    images, missing = torch.tensor([[[0.7, 0.9]]]), torch.tensor([[[False, True]]])
    np.testing.assert_allclose(zero(train, images, missing), [[[0.7, 0.0]]], rtol=1e-6)
    np.testing.assert_allclose(mean(train, images, missing), [[[0.7, 0.3]]], rtol=1e-6)


@pytest.mark.parametrize("k", [1, 10, 40])
def test_knn_is_scikit_learns(train, images, missing, k):
    some = missing.flatten(1).any(1) & ~missing.flatten(1).all(1)
    images, missing = images[some], missing[some]
    # Its donors must have the pixel: complete ones have all, and the neighbours are the same.
    oracle = KNNImputer(n_neighbors=k).fit(train.flatten(1).double().numpy())
    expected = oracle.transform(images.masked_fill(missing, math.nan).flatten(1).double().numpy())
    prediction = knn(train, images, missing, k=k, batch_size=7).flatten(1)
    np.testing.assert_allclose(prediction, expected, atol=1e-6)


def test_knn_finds_neighbours_that_float32_rounding_could_mix_up():
    # Bright images, 784 pixels of which each donor changes a few by one grey level.
    rng = np.random.default_rng(0)
    image = rng.integers(200, 250, 784)
    changes = rng.permutation(784)
    donors = np.stack([image] * 30)
    for number, donor in enumerate(donors):
        donor[changes[: 12 * (number + 1)]] += 1
    donors[:, changes[-40:]] = rng.integers(0, 256, (30, 40))
    order = rng.permutation(30)
    train = torch.from_numpy(donors[order] / 255).float().reshape(30, 28, 28)
    missing = torch.zeros(1, 784, dtype=torch.bool)
    missing[:, changes[-40:]] = True
    missing = missing.reshape(1, 28, 28)
    prediction = knn(train, torch.from_numpy(image / 255).float().reshape(1, 28, 28), missing, k=5)
    expected = torch.from_numpy(donors[:5].mean(0) / 255).float().reshape(1, 28, 28)
    torch.testing.assert_close(prediction[missing], expected[missing])


def test_gaussian_in_two_dimensions_by_hand():
    # Var x = Var y = 1/16, Cov = 1/32: the regression of y on x has slope 1/2 without ridge.
    x = torch.tensor([0.75, 0.25, 0.75, 0.25, 0.75, 0.25, 0.75, 0.25])
    y = torch.tensor([0.75, 0.25, 0.75, 0.25, 0.75, 0.25, 0.25, 0.75])
    train = torch.stack([x, y], 1)[:, None]
    images, missing = torch.tensor([[[0.9, 0.0]]]), torch.tensor([[[False, True]]])
    for ridge in (1e-12, 1 / 16):
        expected = 0.5 + (1 / 32) / (1 / 16 + ridge) * (0.9 - 0.5)
        prediction = gaussian(train, images, missing, ridge=ridge)
        assert prediction[0, 0, 1].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_gaussian_against_one_solve_per_image(train, images, missing, batch_size):
    train[:, 2, 3] = 0.5  # constant: the covariance alone is singular
    x = train.flatten(1).double().numpy()
    mu, covariance = x.mean(0), np.cov(x.T, bias=True) + QUANTISATION * np.eye(64)
    expected = images.flatten(1).double().numpy().copy()
    gaps = missing.flatten(1).numpy()
    for row, m in zip(expected, gaps, strict=True):
        weights = np.linalg.solve(covariance[np.ix_(~m, ~m)], (row - mu)[~m])
        row[m] = (mu[m] + covariance[np.ix_(m, ~m)] @ weights).clip(0, 1)
    both_forms = (gaps.mean(1) < 0.5).any() and (gaps.mean(1) > 0.5).any()
    assert both_forms
    prediction = gaussian(train, images, missing, batch_size=batch_size).flatten(1)
    np.testing.assert_allclose(prediction, expected, atol=1e-6)


def test_gaussian_recovers_what_the_observed_determine():
    # Images in a 3-dimensional affine space: any half of the pixels determines the rest.
    rng = np.random.default_rng(0)
    basis = rng.uniform(0, 0.3, (3, 64))
    images = torch.from_numpy(rng.uniform(0, 1, (300, 3)) @ basis).float().reshape(300, 8, 8)
    missing = torch.from_numpy(rng.random((100, 8, 8)) < 0.5)
    prediction = gaussian(images[100:], images[:100], missing, ridge=1e-10)
    torch.testing.assert_close(prediction, images[:100], atol=1e-4, rtol=0)
    assert (mean(images[100:], images[:100], missing) - images[:100]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("function", "settings", "message"),
    [
        *[(knn, {"k": k}, f"k = {k}: must be from 1 to 40") for k in (0, 41)],
        *[(gaussian, {"ridge": ridge}, f"ridge = {ridge}: must be a number above 0")
          for ridge in (0.0, -1.0, math.nan, math.inf)],
        (gaussian, {"ridge": 1e-20}, "ridge = 1e-20: too small .* singular to rounding; raise it"),
    ],
)  # fmt: skip
def test_bad_settings_are_named(train, images, missing, function, settings, message):
    with pytest.raises(InputError, match=message):
        function(train, images, missing, **settings)


def test_biharmonic_gives_each_image_its_own_gaps(train, images, missing):
    prediction = biharmonic(train, images, missing)
    for row in (2, 10, 15):
        expected = inpaint_biharmonic(images[row].double().numpy(), missing[row].numpy())
        np.testing.assert_allclose(prediction[row], expected, atol=1e-4)


def test_biharmonic_continues_a_plane_inside_and_stays_in_the_observed_range():
    # Second differences of a plane are 0, so it solves the biharmonic equation.
    rows, columns = np.mgrid[:9, :9] / 16
    images = torch.from_numpy(0.9 * rows + 0.7 * columns).float()[None]
    missing = torch.zeros(1, 9, 9, dtype=torch.bool)
    missing[0, 3:6, 3:6] = True
    prediction = biharmonic(images, images.masked_fill(missing, math.nan), missing)
    torch.testing.assert_close(prediction, images, atol=1e-5, rtol=0)
    missing[0, 5:] = True
    prediction = biharmonic(images, images, missing)
    assert prediction.max() <= images[~missing].max()


def test_biharmonic_in_two_processes_is_the_same(train, images, missing):
    some = slice(2, 6)
    once = biharmonic(train, images[some], missing[some])
    assert torch.equal(once, biharmonic(train, images[some], missing[some], n_jobs=2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t / 0, r"^training images: 40 of 40 .* first number 0: inf"),
        (lambda t: t[:0], r"^training images: shape \(0, 8, 8\)"),
        (lambda t: t[:, 1:], r"^training images: .* size, \(8, 8\)"),
        (lambda t: (255 * t).byte().numpy(), r"^training images: uint8 .* must be floats"),
    ],
)
@pytest.mark.parametrize("name", BASELINES)
def test_bad_training_images_are_named(name, train, images, missing, change, message):
    with pytest.raises(InputError, match=message):
        BASELINES[name](change(train), images, missing)


@pytest.mark.parametrize("name", BASELINES)
def test_training_images_may_be_of_another_type(name, train, images, missing):
    found = BASELINES[name](train.double().numpy(), images, missing)
    torch.testing.assert_close(found, BASELINES[name](train, images, missing))
