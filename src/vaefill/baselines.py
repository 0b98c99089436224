r"""Imputers without a VAE, to compare with.

Each takes complete training images, images to fill in and their `missing` pixels, and returns
whole images: observed pixels are the image's own, bit by bit, missing ones are inferred. What lies
under the missing pixels is never looked at; it may be nan. An image that is wholly missing gets the
training mean (from `zero`: zeros). All is deterministic.

References
----------
.. [1] O. Troyanskaya et al., "Missing value estimation methods for DNA microarrays",
   Bioinformatics 17 (2001) 520-525.
.. [2] T. W. Anderson, "An introduction to multivariate statistical analysis", 3rd ed. (2003),
   section 2.5.
.. [3] S. B. Damelin, N. S. Hoang, "On surface completion and image inpainting by biharmonic
   functions: numerical aspects", Int. J. Math. Math. Sci. (2018) 3950312.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from skimage.restoration import inpaint_biharmonic
from sklearn.utils.parallel import Parallel, delayed
from torch import Tensor

from vaefill.errors import InputError
from vaefill.missingness.checks import AnyImages, Images, as_batch, like

# Rounding to 256 grey levels adds a variance of (1/255)^2 / 12 to each pixel.
QUANTISATION = 1 / (12 * 255**2)


def zero(train: AnyImages, images: Images, missing: AnyImages) -> Images:
    """Predict 0, the background.

    Parameters
    ----------
    train : float array or Tensor of shape (n_train, height, width)
        Complete images in [0, 1].
    images : float array or Tensor of shape (height, width) or (n, height, width)
        Pixels in [0, 1] where observed.
    missing : bool array or Tensor of the shape of `images`
        True where a pixel is missing.

    Returns
    -------
    array or Tensor of the shape of `images`
        Filled in, in [0, 1]; an array where `images` is one.

    Raises
    ------
    InputError
        When `train` is empty or of another size, and as for
        `vaefill.missingness.checks.as_batch`.
    """
    _, x, gaps = _checked(train, images, missing)
    return like(images, x.masked_fill(gaps, 0))


def mean(train: AnyImages, images: Images, missing: AnyImages) -> Images:
    """Predict the training mean of each pixel; see `zero` for what is shared."""
    donors, x, gaps = _checked(train, images, missing)
    return like(images, donors.mean(0).where(gaps, x))


def knn(
    train: AnyImages,
    images: Images,
    missing: AnyImages,
    *,
    k: int = 10,
    batch_size: int = 500,
) -> Images:
    r"""Predict the mean of the `k` training images nearest on the observed pixels [1]_.

    Nearest in squared distance, with observed o in {0, 1}, up to a term without t:

    .. math:: \sum_i o_i (x_i - t_i)^2 = \sum_i o_i t_i^2 - 2 \sum_i o_i x_i t_i + \dots

    Parameters
    ----------
    train, images, missing
        See `zero`.
    k : int, default=10
        Neighbours, all of the same weight.
    batch_size : int, default=500
        Images at a time; the memory is that of `batch_size` × `n_train` distances.

    Returns
    -------
    array or Tensor of the shape of `images`

    Raises
    ------
    InputError
        When `k` is not from 1 to `n_train`, and as for `zero`.
    """
    complete, x, gaps = _checked(train, images, missing)
    if not 1 <= k <= len(complete):
        raise InputError(f"k = {k}: must be from 1 to {len(complete)}, the training images")
    donors = complete.flatten(1)
    squares = donors.square()

    def fill(x: Tensor, observed: Tensor) -> Tensor:
        parts = zip(x.split(batch_size), observed.to(x).split(batch_size), strict=True)
        return torch.cat([_neighbours(donors, squares, *part, k) for part in parts])

    return like(images, _filled(fill, complete, x, gaps))


def _neighbours(donors: Tensor, squares: Tensor, x: Tensor, observed: Tensor, k: int) -> Tensor:
    distance = torch.addmm(observed @ squares.T, x, donors.T, alpha=-2)
    return donors[distance.topk(k, largest=False).indices].mean(1)


def gaussian(
    train: AnyImages,
    images: Images,
    missing: AnyImages,
    *,
    ridge: float = QUANTISATION,
    batch_size: int = 64,
) -> Images:
    r"""Predict the conditional mean of a normal distribution fitted to the training pixels [2]_.

    With mean :math:`\mu`, covariance :math:`S + r I` and its inverse :math:`\Lambda`, missing m and
    observed o, exactly

    .. math:: \mathbb E[x_m | x_o] = \mu_m + S_{mo} (S_{oo} + r I)^{-1} (x_o - \mu_o)
        = \mu_m - \Lambda_{mm}^{-1} \Lambda_{mo} (x_o - \mu_o)

    and clipped to [0, 1]. The first form where fewer pixels are observed than missing, else the
    second: it is the smaller system.

    Parameters
    ----------
    train, images, missing
        See `zero`.
    ridge : float, default=`QUANTISATION`
        r, above 0: pixels that are constant in training make S singular. The default is the
        variance that rounding to 256 grey levels adds, about 1.3e-6. It hardly matters: on
        MNIST's validation images the error changes by 0.2 % at most from 1e-7 to 1e-4.
    batch_size : int, default=64
        Systems at a time; the memory is that of so many matrices of (pixels / 2)².

    Returns
    -------
    array or Tensor of the shape of `images`
        Computed in float64.

    Raises
    ------
    InputError
        When `ridge` is not above 0, and as for `zero`.
    """
    complete, x, gaps = _checked(train, images, missing)
    if not 0 < ridge < math.inf:
        raise InputError(f"ridge = {ridge}: must be a number above 0")
    mu, covariance = _moments(complete.flatten(1))
    covariance.diagonal().add_(ridge)

    def fill(x: Tensor, observed: Tensor) -> Tensor:
        prediction = mu.repeat(len(x), 1)
        d = (x - mu).where(observed, 0)
        few = observed.sum(1) < observed.shape[1] / 2
        prediction[few] += _solve(covariance, d[few], observed[few], batch_size) @ covariance
        rest = ~few
        precision = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
        prediction[rest] -= _solve(precision, d[rest] @ precision, ~observed[rest], batch_size)
        return prediction.clamp(0, 1)

    try:
        return like(images, _filled(fill, complete, x, gaps))
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise InputError(
            f"ridge = {ridge}: too small for these training images, whose covariance is singular "
            "to rounding; raise it"
        ) from error


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the rows in float64, without a copy of them all."""
    mu = x.mean(0, dtype=torch.float64)
    covariance = torch.zeros(len(mu), len(mu), dtype=torch.float64, device=x.device)
    for part in x.split(5000):
        covariance += (part - mu).T @ (part - mu)
    return mu, covariance / len(x)


def _solve(matrix: Tensor, rhs: Tensor, chosen: Tensor, batch_size: int) -> Tensor:
    """Per row, solve the system of the chosen rows and columns of `matrix`; 0 elsewhere.

    Systems of like size go together, the smaller ones padded with the identity.
    """
    solution = torch.zeros_like(rhs)
    sizes = chosen.sum(1)
    for rows in sizes.argsort().split(batch_size):
        size = int(sizes[rows].max()) if len(rows) else 0
        places = chosen[rows].to(torch.uint8).argsort(descending=True, stable=True)[:, :size]
        real = torch.arange(size, device=rhs.device) < sizes[rows, None]
        both = real[:, :, None] & real[:, None, :]
        system = matrix[places[:, :, None], places[:, None, :]].where(
            both, torch.eye(size).to(matrix)
        )
        right = rhs[rows].gather(1, places).where(real, 0)
        found = torch.cholesky_solve(right[:, :, None], torch.linalg.cholesky(system))
        solution[rows] = solution[rows].scatter(1, places, found[:, :, 0])
    return solution


def biharmonic(train: AnyImages, images: Images, missing: AnyImages, *, n_jobs: int = 1) -> Images:
    """Predict by biharmonic interpolation within each image, scikit-image's [3]_.

    Of the training images it uses the mean alone, for images that are wholly missing.

    Parameters
    ----------
    train, images, missing
        See `zero`.
    n_jobs : int, default=1
        Processes; -1 for one per core.

    Returns
    -------
    array or Tensor of the shape of `images`
        What is filled in lies within the range of the image's observed pixels.

    Raises
    ------
    InputError
        As for `zero`.
    """
    complete, x, gaps = _checked(train, images, missing)

    def fill(x: Tensor, observed: Tensor) -> Tensor:
        shape = complete.shape[1:]
        pairs = zip(x.unflatten(1, shape).cpu(), ~observed.unflatten(1, shape).cpu(), strict=True)
        jobs = (delayed(inpaint_biharmonic)(image.numpy(), gaps.numpy()) for image, gaps in pairs)
        return torch.from_numpy(np.stack(Parallel(n_jobs)(jobs))).flatten(1)

    return like(images, _filled(fill, complete, x, gaps))


def _checked(
    train: AnyImages, images: AnyImages, missing: AnyImages
) -> tuple[Tensor, Tensor, Tensor]:
    """Training images, images and their missing pixels, of one type and on one device."""
    x, gaps = as_batch(images, missing)
    complete, _ = as_batch(train, name="training images")
    if len(complete) == 0 or complete.shape[1:] != x.shape[1:]:
        raise InputError(
            f"training images: shape {tuple(complete.shape)}; must be one or more of the images' "
            f"size, {tuple(x.shape[1:])}"
        )
    return complete.to(x), x, gaps


def _filled(
    fill: Callable[[Tensor, Tensor], Tensor], complete: Tensor, x: Tensor, gaps: Tensor
) -> Tensor:
    """Let `fill` predict, from (n, pixels) with zeros where missing, what is partly observed."""
    prediction = complete.mean(0).expand_as(x).clone()
    missing = gaps.flatten(1)
    partly = missing.any(1) & ~missing.all(1)
    if partly.any():
        observed = ~missing[partly]
        found = fill(x[partly].flatten(1).where(observed, 0), observed)
        prediction[partly] = found.to(x).unflatten(1, x.shape[1:])
    return prediction.where(gaps, x)


#: An imputer's name to its function of (train, images, missing).
BASELINES: dict[str, Callable[..., Any]] = {
    "zero": zero,
    "mean": mean,
    "knn": knn,
    "gaussian": gaussian,
    "biharmonic": biharmonic,
}
