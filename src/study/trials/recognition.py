"""Does an imputation keep the digit? A classifier trained on complete images reads it.

It is one hidden layer of 256 units, trained by Adam [1]_ for a fixed number of epochs: about
98 % of complete MNIST test digits are read right. That is the ceiling to compare with, and what
it reads with zeros in place of the missing pixels the floor.

References
----------
.. [1] D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from vaefill.errors import InputError

EPOCHS = 20
BATCH = 100
HIDDEN = 256


def train_classifier(
    images: NDArray[np.uint8], labels: NDArray[np.integer[Any]], *, seed: int
) -> MLPClassifier:
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
    sklearn.neural_network.MLPClassifier

    Raises
    ------
    InputError
        When the images are not uint8, or not as many as the labels.
    """
    _check(images, labels, np.uint8)
    classifier = MLPClassifier((HIDDEN,), batch_size=min(BATCH, len(images)), random_state=seed)
    x, classes = _rows(images) / np.float32(255), np.unique(labels)
    # One call is one epoch; `fit` would warn that so few epochs have not converged.
    for _ in range(EPOCHS):
        classifier.partial_fit(x, labels, classes=classes)
    return classifier


def accuracy(
    classifier: MLPClassifier,
    images: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
) -> float:
    """Share of images whose digit the classifier reads right.

    Parameters
    ----------
    classifier : sklearn.neural_network.MLPClassifier
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
    if x.shape[1] != classifier.n_features_in_:
        raise InputError(
            f"images: {x.shape[1]} pixels each; the classifier was trained on "
            f"{classifier.n_features_in_}"
        )
    if not (x.min() >= 0 and x.max() <= 1):
        raise InputError(f"images: pixels from {x.min():.6g} to {x.max():.6g}; must be in [0, 1]")
    return float(np.mean(classifier.predict(x.astype(np.float32)) == labels))


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
