"""The division of the images into train, validation and test."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaefill.errors import InputError


def split_indices(
    n: int, *, test_size: int, valid_size: int, seed: int
) -> dict[str, NDArray[np.int64]]:
    """Divide ``range(n)`` at random: the test part first, then the validation part.

    Both divisions use the same seed, as the slides do.

    Parameters
    ----------
    n : int
        Number of images.
    test_size, valid_size : int
        Images in either part, at least 1 and together less than `n`.
    seed : int
        ``random_state`` of scikit-learn's `train_test_split`.

    Returns
    -------
    dict of str to ndarray of int64
        Disjoint indices under ``train``, ``valid`` and ``test``.

    Raises
    ------
    InputError
        When a part would be empty.
    """
    from sklearn.model_selection import train_test_split

    if min(test_size, valid_size) < 1 or test_size + valid_size >= n:
        raise InputError(
            f"split: test_size = {test_size} and valid_size = {valid_size} of {n} images: each "
            f"must be at least 1 and together they must leave some to train on; change them"
        )
    rest, test = train_test_split(
        np.arange(n, dtype=np.int64), test_size=test_size, random_state=seed
    )
    train, valid = train_test_split(rest, test_size=valid_size, random_state=seed)
    return {"train": train, "valid": valid, "test": test}


def split(
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    *,
    test_size: int,
    valid_size: int,
    seed: int,
) -> dict[str, NDArray[Any]]:
    """Divide images and labels as `split_indices` says.

    Returns
    -------
    dict of str to ndarray
        ``{part}_images``, ``{part}_labels`` and ``{part}_index`` (their rows in `images`) of
        each part.
    """
    parts = split_indices(len(images), test_size=test_size, valid_size=valid_size, seed=seed)
    arrays: dict[str, NDArray[Any]] = {}
    for part, index in parts.items():
        arrays[f"{part}_images"] = images[index]
        arrays[f"{part}_labels"] = labels[index]
        arrays[f"{part}_index"] = index
    return arrays
