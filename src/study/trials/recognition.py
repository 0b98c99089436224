"""Does an imputation keep the digit? A classifier trained on complete images reads it.

It is one hidden layer of 256 units, trained by Adam [1]_ for a fixed number of epochs: about
98 % of complete MNIST test digits are read right. That is the ceiling to compare with, and what
it reads with zeros in place of the missing pixels the floor.

References
----------
.. [1] D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from vaefill.errors import InputError
from vaefill.storage import load_arrays, save_arrays, unreadable

EPOCHS = 20
BATCH = 100
HIDDEN = 256


class Classifier(NamedTuple):
    """The weights of a trained network, and the digits that its outputs stand for."""

    weight_in: NDArray[np.float32]
    bias_in: NDArray[np.float32]
    weight_out: NDArray[np.float32]
    bias_out: NDArray[np.float32]
    digits: NDArray[np.integer[Any]]

    def read(self, x: NDArray[np.float32]) -> NDArray[np.integer[Any]]:
        """Read the digit of each image of shape (n, pixels), pixels in [0, 1]."""
        hidden = np.maximum(x @ self.weight_in + self.bias_in, 0)
        chosen: NDArray[np.integer[Any]] = self.digits[
            (hidden @ self.weight_out + self.bias_out).argmax(axis=1)
        ]
        return chosen


def save_classifier(path: str | Path, classifier: Classifier) -> None:
    """Write a classifier as arrays."""
    save_arrays(path, classifier._asdict())


def load_classifier(path: str | Path) -> Classifier:
    """Read what `save_classifier` wrote.

    Raises
    ------
    InputError
        When the file is missing, damaged, or holds something else.
    """
    arrays = load_arrays(path)
    if arrays.keys() != {*Classifier._fields}:
        raise unreadable(path, "a classifier", ValueError(f"it holds {', '.join(arrays)}"))
    return Classifier(**arrays)


def train_classifier(
    images: NDArray[np.uint8], labels: NDArray[np.integer[Any]], *, seed: int
) -> Classifier:
    """Train a classifier on complete images.

    Parameters
    ----------
    images : uint8 array of shape (n, height, width)
    labels : integer array of shape (n,)
        The digit that each image shows.
    seed : int
        At least 0; fixes the initial weights and the order of the images.

    Returns
    -------
    Classifier

    Raises
    ------
    InputError
        When the images are not uint8, or not as many as the labels, or show fewer than 3 digits.
    """
    _check(images, labels, np.uint8)
    network = MLPClassifier((HIDDEN,), batch_size=min(BATCH, len(images)), random_state=seed)
    x, digits = _rows(images) / np.float32(255), np.unique(labels)
    if len(digits) < 3:
        raise InputError(f"labels: {len(digits)} different ones; a classifier needs at least 3")
    # One call is one epoch; `fit` would warn that so few epochs have not converged.
    for _ in range(EPOCHS):
        network.partial_fit(x, labels, classes=digits)
    (weight_in, weight_out), (bias_in, bias_out) = network.coefs_, network.intercepts_
    return Classifier(weight_in, bias_in, weight_out, bias_out, digits)


def accuracy(
    classifier: Classifier,
    images: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
) -> float:
    """Share of images whose digit the classifier reads right.

    Parameters
    ----------
    classifier : Classifier
        From `train_classifier`.
    images : float array of shape (n, height, width)
        Imputations, pixels in [0, 1].
    labels : integer array of shape (n,)
        True digits.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError
        When the images are not floats in [0, 1] of the size of those of the training, or not as
        many as the labels.
    """
    _check(images, labels, np.floating)
    x = _rows(images)
    if x.shape[1] != (pixels := len(classifier.weight_in)):
        raise InputError(
            f"images: {x.shape[1]} pixels each; the classifier was trained on {pixels}"
        )
    if not (x.min() >= 0 and x.max() <= 1):
        raise InputError(f"images: pixels from {x.min():.6g} to {x.max():.6g}; must be in [0, 1]")
    return float(np.mean(classifier.read(x.astype(np.float32)) == labels))


def _rows(images: NDArray[Any]) -> NDArray[Any]:
    return images.reshape(len(images), -1)


def _check(images: NDArray[Any], labels: NDArray[Any], kind: type) -> None:
    if images.ndim != 3 or not len(images) or labels.shape != (len(images),):
        raise InputError(
            f"images of shape {images.shape}, labels of shape {labels.shape}; must be "
            "(n, height, width) and (n,) with n > 0"
        )
    if not np.issubdtype(images.dtype, kind):
        words = "uint8" if kind is np.uint8 else "float in [0, 1]"
        raise InputError(f"images: values are {images.dtype}; must be {words}")
