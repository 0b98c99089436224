"""The data sets by name: images and labels, each as one pair of arrays.

References
----------
Alpaydin, Kaynak: Optical Recognition of Handwritten Digits, UCI repository (1998).
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from study.data.mnist import Images, given, mnist


def digits() -> Images:
    """Read the 1,797 digits that scikit-learn ships, 8 x 8 pixels made 28 x 28 (bilinear).

    Returns
    -------
    images : ndarray of uint8, shape (1797, 28, 28)
        The original 0..16 scaled to 0..255.
    labels : ndarray of uint8, shape (1797,)
    """
    from skimage.transform import resize
    from sklearn.datasets import load_digits

    bunch = load_digits()
    larger = [
        resize(image / 16, (28, 28), order=1, mode="edge", anti_aliasing=False)  # type: ignore[no-untyped-call]
        for image in bunch.images
    ]
    return np.rint(255 * np.stack(larger)).astype(np.uint8), bunch.target.astype(np.uint8)


DATASETS: dict[str, Callable[[], Images]] = {
    "mnist": mnist,
    "digits": digits,
    "fashion_mnist": partial(given, "fashion_mnist"),
    "kmnist": partial(given, "kmnist"),
}
