"""Where the labels of points go, so that they cover neither each other nor the points."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]

#: Between an anchor and its label: half of a marker, and some space.
AIR = 6.0
_ANGLES = np.arange(0, 2 * np.pi, np.pi / 16)
_GAPS = (0, 2, 5, 9, 14, 20, 28, 38, 50, 65, 80)
_ROUNDS = 4
#: What is in the way costs this much per unit of area, where distance costs 1 per unit.
_COVERED = 20.0
_OUT = np.array([1, 1, -1, -1])


def place(anchors: ArrayLike, sizes: ArrayLike, obstacles: ArrayLike, bounds: ArrayLike) -> Floats:
    """Place one label beside each anchor.

    Each label in turn takes the place around its anchor that covers least of the other labels,
    of the lines that lead to them and of the obstacles, and of such places the nearest; after
    that each moves again, given all the others.

    Parameters
    ----------
    anchors, sizes : array-like of shape (n, 2)
        Points, and width and height of their labels, in typographic points.
    obstacles : array-like of shape (m, 4)
        Left, bottom, right and top of what must stay visible.
    bounds : array-like of shape (4,)
        Left, bottom, right and top of where labels may be.

    Returns
    -------
    ndarray of shape (n, 2)
        The centres of the labels.
    """
    points, halves = np.asarray(anchors, np.float64), np.asarray(sizes, np.float64) / 2
    fixed = np.asarray(obstacles, np.float64).reshape(-1, 4)
    centres = points.copy()
    placed: list[int] = []
    # The most crowded first: the others have more places to choose from.
    crowd = np.exp(-np.abs(points[:, None] - points).sum(axis=-1) / 60).sum(axis=1)
    order = [int(i) for i in np.argsort(-crowd, kind="stable")]
    for i in order * _ROUNDS:
        others = [j for j in placed if j != i]
        boxes = np.concatenate([fixed, _boxes(centres[others], halves[others])])
        starts = _nearest(points[others], centres[others], halves[others])
        tried = _candidates(points[i], halves[i])
        cost = _costs(tried, points[i], halves[i], boxes, (starts, points[others]))
        own = _boxes(tried, halves[i])
        outside = np.maximum(np.asarray(bounds) * _OUT - own * _OUT, 0).sum(axis=1)
        centres[i] = tried[int(np.argmin(cost + 1e4 * outside))]
        placed = [*others, i]
    return centres


def spread(heights: ArrayLike, gap: float) -> Floats:
    """Move heights apart by at least `gap`, in their order and as little as possible.

    With z the sorted heights moved, z_i - z_(i-1) >= gap says that z_i - i gap never falls: the
    least squares solution is an isotonic regression (Barlow et al., *Statistical Inference under
    Order Restrictions*, 1972).
    """
    values = np.asarray(heights, np.float64)
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(values.size)
    moved = np.empty_like(values)
    moved[order] = isotonic_regression(values[order] - steps).x + steps
    return moved


def _candidates(point: Floats, half: Floats) -> Floats:
    """Go around the point: the label's edge, not its centre, keeps the distance."""
    direction = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    reach = np.min((half + AIR) / np.maximum(np.abs(direction), 1e-9), axis=1, keepdims=True)
    return np.concatenate([point + (reach + gap) * direction for gap in _GAPS])


def _costs(
    centres: Floats, point: Floats, half: Floats, boxes: Floats, leaders: tuple[Floats, Floats]
) -> Floats:
    """Cost of a label at each of `centres`: length of its leader, and what is in the way."""
    own = _boxes(centres, half)
    overlap = np.minimum(own[:, None, 2:], boxes[:, 2:]) - np.maximum(
        own[:, None, :2], boxes[:, :2]
    )
    covered = np.maximum(overlap, 0).prod(axis=-1).sum(axis=-1)
    starts = _nearest(point, centres, half)
    length = np.hypot(*(starts - point).T)
    # The last bit passes over the anchor's own marker, and nothing can be done about that.
    ends = point + np.minimum(1, 2 * AIR / length)[:, None] * (starts - point)
    crossed = _length_inside(starts[:, None], ends[:, None], boxes).sum(axis=1)
    crossed += _length_inside(*leaders, own[:, None]).sum(axis=1)
    crossings = _cross(starts, point, *leaders).sum(axis=1)
    cost: Floats = length + _COVERED * (covered + crossed + 5 * crossings)
    return cost


def _boxes(centres: Floats, halves: Floats) -> Floats:
    return np.concatenate([centres - halves, centres + halves], axis=-1)


def _nearest(points: Floats, centres: Floats, halves: Floats) -> Floats:
    """Return where the leader of each label begins."""
    return np.clip(points, centres - halves, centres + halves)


def _length_inside(starts: Floats, ends: Floats, boxes: Floats) -> Floats:
    """Return how much of each line lies in each box.

    By Y.-D. Liang and B. A. Barsky, "A new concept and method for line clipping", ACM
    Transactions on Graphics 3 (1984): the part is where the line is between all four sides.
    """
    way = ends - starts
    step = np.where(np.abs(way) < 1e-9, 1e-9, way)
    sides = np.stack([(boxes[..., :2] - starts) / step, (boxes[..., 2:] - starts) / step])
    enters = np.maximum(sides.min(axis=0).max(axis=-1), 0)
    leaves = np.minimum(sides.max(axis=0).min(axis=-1), 1)
    inside: Floats = np.maximum(leaves - enters, 0) * np.hypot(way[..., 0], way[..., 1])
    return inside


def _cross(starts: Floats, end: Floats, others: Floats, ends: Floats) -> NDArray[np.bool_]:
    """Tell which of the lines from `starts` to `end` cross which of the others."""

    def side(a: Floats, b: Floats, c: Floats) -> Floats:
        turned: Floats = (b - a)[..., 0] * (c - a)[..., 1] - (b - a)[..., 1] * (c - a)[..., 0]
        return turned

    a, b, c, d = starts[:, None], end, others, ends
    apart = side(a, b, c) * side(a, b, d), side(c, d, a) * side(c, d, b)
    crossing: NDArray[np.bool_] = (apart[0] < 0) & (apart[1] < 0)
    return crossing
