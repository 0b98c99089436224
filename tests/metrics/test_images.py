import numpy as np
import pytest
from skimage.metrics import structural_similarity
from sklearn.datasets import load_digits

from vaefill.errors import InputError
from vaefill.metrics import images as metrics
from vaefill.metrics.images import METRICS, mse, score, ssim, ssim_global, ssim_map


def random_images(n, *shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n, *shape)), rng.random((n, *shape))


def digits():
    """Digits enlarged to 24 x 24, with flat background as in MNIST, and a noisy copy."""
    images = np.kron(load_digits().images[:20] / 16, np.ones((3, 3)))
    noise = np.random.default_rng(0).normal(0, 0.2, images.shape)
    return images, np.clip(images + noise, 0, 1)


def case(n=7, height=12, width=10):
    image, prediction = random_images(n, height, width)
    missing = np.random.default_rng(1).random(image.shape) < 0.3
    return image, prediction, missing


def scikit_maps(image, output, window=7):
    """SSIM of every window that lies wholly inside, by scikit-image, one image at a time."""
    inner, options = slice(window // 2, -(window // 2)), {"data_range": 1, "win_size": window}
    pairs = zip(image, output, strict=True)
    maps = [structural_similarity(*pair, **options, full=True)[1] for pair in pairs]
    return np.stack(maps)[:, inner, inner]


IMAGES = {
    "random": random_images(10, 28, 28),
    "oblong": random_images(5, 13, 15),
    "one window": random_images(3, 7, 7),
    "digits": digits(),
}


@pytest.mark.parametrize("name", IMAGES)
def test_ssim_equals_scikit_image_one_image_at_a_time(name):
    image, output = IMAGES[name]
    pairs = zip(image, output, strict=True)
    expected = [structural_similarity(*pair, data_range=1) for pair in pairs]
    np.testing.assert_allclose(ssim(image, output), expected, rtol=0, atol=1e-10)
    for window in range(3, min(image[0].shape) + 1, 4):
        maps, expected = ssim_map(image, output, window), scikit_maps(image, output, window)
        np.testing.assert_allclose(maps, expected, rtol=0, atol=1e-10)


def test_ssim_over_a_region_averages_the_windows_centred_in_it():
    image, output = IMAGES["digits"]
    region = np.random.default_rng(1).random(image.shape) < 0.3
    expected = scikit_maps(image, output).mean((1, 2), where=region[:, 3:-3, 3:-3])
    np.testing.assert_allclose(ssim(image, output, region), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("side", [9, 27])
def test_ssim_global_equals_scikit_image_with_a_window_as_large_as_the_image(side):
    image, output = random_images(6, side, side)
    expected = scikit_maps(image, output, side).flatten()
    np.testing.assert_allclose(ssim_global(image, output), expected, rtol=0, atol=1e-10)


def test_ssim_global_equals_its_definition_on_even_and_oblong_images():
    image, output = random_images(5, 28, 20)
    for x, y, ours in zip(image, output, ssim_global(image, output), strict=True):
        covariance = np.cov(x.ravel(), y.ravel())
        luminance = (2 * x.mean() * y.mean() + 1e-4) / (x.mean() ** 2 + y.mean() ** 2 + 1e-4)
        structure = (2 * covariance[0, 1] + 9e-4) / (np.trace(covariance) + 9e-4)
        assert ours == pytest.approx(luminance * structure, abs=1e-12)


def test_mse_by_hand():
    image = np.array([[[0.0, 1.0], [0.5, 0.25]], [[0.0, 0.0], [0.0, 0.0]]])
    output = np.array([[[0.5, 1.0], [0.0, 0.75]], [[1.0, 0.0], [0.0, 0.5]]])
    region = np.array([[[True, True], [False, False]], [[False, False], [False, True]]])
    np.testing.assert_array_equal(mse(image, output), [0.75 / 4, 1.25 / 4])
    np.testing.assert_array_equal(mse(image, output, region), [0.25 / 2, 0.25])
    np.testing.assert_array_equal(mse(image, output, ~region), [0.5 / 2, 1 / 3])


@pytest.mark.parametrize("metric", [mse, ssim, ssim_global])
def test_metrics_are_computed_in_float64(metric):
    image, output = random_images(6, 10, 11)
    np.testing.assert_allclose(metric(image, image), 0 if metric is mse else 1, atol=1e-12)
    narrow = image.astype(np.float32), output.astype(np.float32)
    values = metric(*narrow)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, metric(*(a.astype(float) for a in narrow)))


def test_regions_without_a_pixel_or_a_window_are_nan_in_that_image_alone():
    image, output = random_images(3, 9, 9)
    region = np.ones(image.shape, bool)
    region[1] = False
    region[2, 3:] = False  # within the border
    np.testing.assert_array_equal(np.isnan(ssim(image, output, region)), [False, True, True])
    np.testing.assert_array_equal(np.isnan(mse(image, output, region)), [False, True, False])


@pytest.mark.parametrize("window", [1, 4, 11, -7])
def test_impossible_window_is_refused(window):
    image, output = random_images(1, 9, 12)
    with pytest.raises(InputError, match=f"window = {window} on images of 9 x 12"):
        ssim_map(image, output, window)


def test_score_equals_the_single_metrics_whatever_the_chunk(monkeypatch):
    image, prediction, missing = case()
    outputs = {"prediction": prediction, "imputation": np.where(missing, prediction, image)}
    regions = {"image": None, "missing": missing, "observed": ~missing}
    expected = {
        (name, region, metric.__name__): metric(image, output, pixels)
        for name, output in outputs.items()
        for region, pixels in regions.items()
        for metric in (mse, ssim)
    } | {(name, "image", "ssim_global"): ssim_global(image, outputs[name]) for name in outputs}
    assert list(score(image, prediction)) == [("prediction", "image", name) for name in METRICS]
    for chunk in (1, 3, 7, 100):
        monkeypatch.setattr(metrics, "CHUNK", chunk)
        scores = score(image, prediction, missing)
        assert set(scores) == set(expected)
        for key, values in scores.items():
            assert values.dtype == np.float64
            np.testing.assert_allclose(values, expected[key], rtol=1e-12)


ZEROS = np.zeros((2, 9, 9))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": ZEROS.astype(np.uint8)}, "image: values are uint8; must be float"),
        ({"image": ZEROS[0]}, r"image: shape \(9, 9\); expected"),
        ({"image": ZEROS[:0]}, r"image: shape \(0, 9, 9\); expected"),
        ({"prediction": np.zeros((3, 9, 9))}, r"prediction: shape \(3, 9, 9\)"),
        ({"missing": ZEROS[..., :8] > 0}, r"missing: shape \(2, 9, 8\)"),
        ({"missing": ZEROS}, "missing: values are float64; must be bool"),
        ({"prediction": ZEROS * np.nan}, "prediction: nan or infinite values"),
        (dict.fromkeys(("image", "prediction"), ZEROS[:, :5]) | {"missing": None}, "SSIM window"),
    ],
)
def test_unusable_arrays_are_refused(change, message):
    arrays = {"image": ZEROS, "prediction": ZEROS, "missing": ZEROS > 0} | change
    with pytest.raises(InputError, match=message):
        score(**arrays)
