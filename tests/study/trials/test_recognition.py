"""The classifier on the real digits that scikit-learn ships."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from study.trials.recognition import (
    BATCH,
    EPOCHS,
    HIDDEN,
    accuracy,
    load_classifier,
    save_classifier,
    train_classifier,
)
from vaefill.errors import InputError
from vaefill.storage import save_arrays


@pytest.fixture(scope="module")
def digits():
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))  # they are sorted by writer
    return np.rint(bunch.images[order] * (255 / 16)).astype(np.uint8), bunch.target[order]


@pytest.fixture(scope="module")
def classifier(digits):
    return train_classifier(digits[0][:1300], digits[1][:1300], seed=0)


def test_accuracy_is_the_share_that_is_right(classifier, digits):
    images = digits[0][:50] / np.float32(255)
    read = np.array([int(classifier.read(image.reshape(1, -1))[0]) for image in images])
    assert accuracy(classifier, images, read) == 1
    assert accuracy(classifier, images.astype(np.float64), read) == 1
    read[:13] = (read[:13] + 1) % 10
    assert accuracy(classifier, images, read) == pytest.approx(37 / 50)


def test_it_reads_complete_digits_and_lost_pixels_lose_digits(classifier, digits):
    images, labels = digits[0][1300:] / 255, digits[1][1300:]
    order = np.random.default_rng(0).random(images.shape)
    shares = [
        accuracy(classifier, np.where(order < f, 0, images), labels) for f in (0, 0.5, 0.9, 1)
    ]
    assert shares[0] > 0.95
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] in np.bincount(labels) / len(labels)  # blank images all read the same


def test_a_seed_fixes_the_classifier(digits):
    images, labels = digits[0][:300], digits[1][:300]
    first, again, other = (train_classifier(images, labels, seed=seed) for seed in (0, 0, 1))
    for name in ("weight_in", "weight_out"):
        a, b, c = (getattr(one, name) for one in (first, again, other))
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


def test_it_reads_as_scikit_learns_own_network_does(digits):
    images, labels = digits[0][:300], digits[1][:300]
    network = MLPClassifier((HIDDEN,), batch_size=BATCH, random_state=3)
    for _ in range(EPOCHS):
        network.partial_fit(images.reshape(300, -1) / np.float32(255), labels, classes=range(10))
    noisy = np.random.default_rng(0).random((2000, 64), np.float32)
    read = train_classifier(images, labels, seed=3).read(noisy)
    np.testing.assert_array_equal(read, network.predict(noisy))
    assert len(np.unique(read)) > 5


def test_a_classifier_is_read_back_as_it_was(classifier, digits, tmp_path):
    save_classifier(tmp_path / "classifier.npz", classifier)
    x = digits[0].reshape(len(digits[0]), -1) / np.float32(255)
    again = load_classifier(tmp_path / "classifier.npz")
    np.testing.assert_array_equal(again.read(x), classifier.read(x))
    save_arrays(tmp_path / "other.npz", {"digits": x})
    with pytest.raises(InputError, match=r"other\.npz: not a classifier \(it holds digits\)"):
        load_classifier(tmp_path / "other.npz")


def test_bad_training_images_are_named(digits):
    images, labels = digits[0][:30], digits[1][:30]
    with pytest.raises(InputError, match="images: values are float64; must be uint8"):
        train_classifier(images / 255, labels, seed=0)
    with pytest.raises(InputError, match=r"images of shape \(30, 8, 8\), labels of shape \(29,\)"):
        train_classifier(images, labels[1:], seed=0)
    with pytest.raises(InputError, match="labels: 2 different ones; a classifier needs at least 3"):
        train_classifier(images, labels % 2, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.astype(np.uint8), r"images: values are uint8; must be float in \[0, 1\]"),
        (lambda x: x * 255, r"pixels from 0 to 255; must be in \[0, 1\]"),
        (lambda x: x + np.nan, "pixels from nan to nan"),
        (lambda x: x.reshape(30, 64), r"images of shape \(30, 64\)"),
        (lambda x: x[:, 1:], "images: 56 pixels each; the classifier was trained on 64"),
        (lambda x: x[:0], r"\(0, 8, 8\)"),
    ],
)
def test_bad_images_are_named(classifier, digits, change, message):
    with pytest.raises(InputError, match=message):
        accuracy(classifier, change(digits[0][:30] / 255), digits[1][:30])
