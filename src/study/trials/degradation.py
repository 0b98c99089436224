"""How imputation gets worse the more is missing, and under other mechanisms."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from vaefill.missingness.mechanisms import draw

#: Prediction of images (n, height, width) of which some pixels are missing.
Predict = Callable[[Tensor, Tensor], Tensor]
COLUMNS = ("recipe", "model", "method", "mechanism", "setting", "value")


class Case(NamedTuple):
    """A mechanism with its settings, and what to call it.

    Attributes
    ----------
    name : str
        Of the case, such as ``half-top``.
    setting : float or None
        The value that a curve is drawn over, where there is one.
    mechanism : str
        A key of `vaefill.missingness.mechanisms.MECHANISMS`.
    keywords : dict
        Its settings.
    """

    name: str
    setting: float | None
    mechanism: str
    keywords: Mapping[str, Any]


def grid(
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    others: Mapping[str, Mapping[str, Any]],
) -> Iterator[Case]:
    """List cases: one per value of each curve, then the others.

    Parameters
    ----------
    curves : dict
        Mechanism to its one setting with the values to try.
    others : dict
        Name to ``mechanism`` and its settings.

    Yields
    ------
    Case
    """
    for mechanism, settings in curves.items():
        for keyword, steps in settings.items():
            for value in steps:
                yield Case(mechanism, value, mechanism, {keyword: value})
    for name, case in others.items():
        keywords = {k: v for k, v in case.items() if k != "mechanism"}
        yield Case(name, None, case["mechanism"], keywords)


def degradation_rows(
    names: tuple[str, str, str],
    predict: Predict,
    images: NDArray[np.floating[Any]],
    cases: Sequence[Case],
    *,
    seed: int,
) -> list[tuple[str | float, ...]]:
    """Try one imputer, named by recipe, model and method, in every case: rows of `COLUMNS`."""
    return [
        (*names, case.name, "" if case.setting is None else case.setting,
         missing_mse(predict, images, case, seed=seed))
        for case in tqdm(cases, desc="/".join(filter(None, names)), unit="case")
    ]  # fmt: skip


def missing_mse(
    predict: Predict, images: NDArray[np.floating[Any]], case: Case, *, seed: int
) -> float:
    """Mean squared error over all missing pixels of images (n, height, width), in one case.

    The same seed hides the same pixels from every imputer.
    """
    (missing,) = draw(images, seed=seed, settings={case.mechanism: case.keywords}).values()
    prediction = predict(torch.from_numpy(images), torch.from_numpy(missing)).numpy()
    return float(np.mean(np.square(prediction[missing].astype(np.float64) - images[missing])))
