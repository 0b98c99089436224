import math

import joblib
import numpy as np
import pytest
import torch
from exact import gen
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
    missing = torch.rand(20, 8, 8, generator=gen(1)) < torch.linspace(0.05, 0.95, 20)[:, None, None]
    missing[0], missing[1] = False, True
    return missing


@pytest.mark.parametrize("name", BASELINES)
def test_what_holds_for_all(name, train, images, missing):
    prediction = BASELINES[name](train, images, missing)
    assert prediction.dtype == torch.float32
    assert torch.equal(prediction[~missing], images[~missing])
    assert ((prediction >= 0) & (prediction <= 1)).all()
    expected = np.zeros((8, 8)) if name == "zero" else train.numpy().mean(0)
    np.testing.assert_allclose(prediction[1], expected, rtol=1e-6)
    # Neither the other images nor the type of the training images matter.
    order = torch.randperm(20, generator=gen(0))
    other = BASELINES[name](train.double().numpy(), images[order], missing[order])
    torch.testing.assert_close(other, prediction[order])
    alone = BASELINES[name](train, images[1:2], missing[1:2])
    torch.testing.assert_close(alone, prediction[1:2])


def test_zero_and_mean_by_hand():
    train = torch.tensor([[[0.0, 0.2]], [[1.0, 0.4]]])
    images, missing = torch.tensor([[[0.7, 0.9]]]), torch.tensor([[[False, True]]])
    np.testing.assert_allclose(zero(train, images, missing), [[[0.7, 0.0]]], rtol=1e-6)
    np.testing.assert_allclose(mean(train, images, missing), [[[0.7, 0.3]]], rtol=1e-6)


@pytest.mark.parametrize("k", [1, 10, 40])
def test_knn_is_scikit_learns(train, images, missing, k):
    images, missing = images[2:], missing[2:]
    # Its donors must have the pixel: complete ones have all, and the neighbours are the same.
    oracle = KNNImputer(n_neighbors=k).fit(train.flatten(1).double().numpy())
    expected = oracle.transform(images.masked_fill(missing, math.nan).flatten(1).double().numpy())
    prediction = knn(train, images, missing, k=k, batch_size=7).flatten(1)
    np.testing.assert_allclose(prediction, expected, atol=1e-6)


def test_knn_finds_neighbours_that_float32_rounding_could_mix_up():
    # Bright images, 784 pixels of which each donor changes a few by one grey level.
    rng = np.random.default_rng(0)
    image, changes = rng.integers(200, 250, 784), rng.permutation(784)
    donors = np.stack([image] * 30)
    for number, donor in enumerate(donors):
        donor[changes[: 12 * (number + 1)]] += 1
    missing = torch.zeros(1, 28, 28, dtype=torch.bool)
    missing.flatten()[changes[-40:]] = True
    donors[:, changes[-40:]] = rng.integers(0, 256, (30, 40))
    train, image, expected = (
        torch.from_numpy(x / 255).float().reshape(-1, 28, 28)
        for x in (rng.permutation(donors), image, donors[:5].mean(0))
    )
    prediction = knn(train, image, missing, k=5)
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
    prediction = gaussian(train, images, missing, batch_size=batch_size)
    train, images, missing = (a.double().flatten(1).numpy() for a in (train, images, missing))
    mu, covariance = train.mean(0), np.cov(train.T, bias=True) + QUANTISATION * np.eye(64)
    assert missing.mean(1).min() < 0.5 < missing.mean(1).max()  # both forms
    for found, x, m in zip(prediction.flatten(1), images, missing == 1, strict=True):
        weights = np.linalg.solve(covariance[np.ix_(~m, ~m)], (x - mu)[~m])
        expected = (mu[m] + covariance[np.ix_(m, ~m)] @ weights).clip(0, 1)
        np.testing.assert_allclose(found[m], expected, atol=1e-6)


def test_gaussian_recovers_what_the_observed_determine():
    # Images in a 3-dimensional affine space: any half of the pixels determines the rest.
    basis = 0.3 * torch.rand(3, 64, generator=gen(1))
    images = (torch.rand(300, 3, generator=gen(2)) @ basis).reshape(300, 8, 8)
    missing = torch.rand(100, 8, 8, generator=gen(3)) < 0.5
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
    with joblib.parallel_config("threading"):  # starts faster than processes
        assert torch.equal(biharmonic(train, images, missing, n_jobs=2), prediction)


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
