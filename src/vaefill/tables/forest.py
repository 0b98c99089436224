r"""One more expert: a chain of extra-trees, in the manner of missForest [1]_.

Columns take turns, those with the fewest missing cells first. The missing cells of a column are
predicted from all other columns as they are completed so far, by extremely randomised trees [2]_
that learned from the rows in which the column is observed. The first completion is the linear
answer, far better than means: from there the second round is the last one worth its time. What a
third one changes is mostly the luck of its trees; twice as many trees in the last gain more.

The forests of the last round are kept, as plain arrays. They complete new rows, each by itself and
without learning anew, in as many rounds.

References
----------
.. [1] D. J. Stekhoven, P. Bühlmann, "MissForest: non-parametric missing value imputation for
   mixed-type data", Bioinformatics 28 (2012), 112-118.
.. [2] P. Geurts, D. Ernst, L. Wehenkel, "Extremely randomized trees", Machine Learning 63 (2006),
   3-42.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Leaves of all trees of a chain, over the slots: bounds its size, at 28 bytes each, to 56 MB.
MAX_LEAVES = 2_000_000

#: Rounds that a chain takes, many more than are worth their time.
MAX_ROUNDS = 100

_AT_ONCE = 4000  # walks through trees: enough to be worth a call, few enough to stay in the cache


@dataclass(frozen=True)
class Trees:
    """The trees that predict the slots of one column, their nodes one after another.

    Parameters
    ----------
    slots : integer Tensor of shape (k,)
        The slots that are predicted.
    roots : integer Tensor of shape (n_trees,)
        The first node of each tree.
    child : int32 Tensor of shape (n_nodes,)
        Where values up to the threshold go; those above it go to the node after. A leaf is its
        own child.
    feature : int16 Tensor of shape (n_nodes,)
        The slot that is compared with the threshold.
    threshold : float32 Tensor of shape (n_nodes,)
        Infinite in a leaf, which nothing leaves.
    value : float32 Tensor of shape (n_nodes, k)
        Mean of the slots in the training rows that come by.
    """

    slots: Tensor
    roots: Tensor
    child: Tensor
    feature: Tensor
    threshold: Tensor
    value: Tensor

    def __post_init__(self) -> None:
        """Refuse branches that lead back, as a file may hold them: a walk would not end."""
        if (self.child < torch.arange(len(self.child), device=self.child.device)).any():
            raise ValueError("a branch of a tree leads back")

    def predict(self, rows: Tensor) -> Tensor:
        """Mean over the trees of the leaf that each row ends in.

        Parameters
        ----------
        rows : Tensor of shape (n, p)
            Completed rows.

        Returns
        -------
        float64 Tensor of shape (n, k)
        """
        # NumPy's gathers take a third of the time of torch's.
        cells, n = _single(rows).ravel(), len(rows)
        child, feature = (
            part.cpu().numpy().astype(np.int64) for part in (self.child, self.feature)
        )
        threshold, value = (part.cpu().numpy() for part in (self.threshold, self.value))
        first = np.arange(0, len(cells), rows.shape[1])
        total = np.zeros((n, value.shape[1]))
        for roots in self.roots.cpu().split(1 + _AT_ONCE // (n + 1)):
            begin = np.tile(first, len(roots))
            node, below = np.full(len(begin), -1), np.repeat(roots.numpy(), n)
            while (below != node).any():
                node = below
                above = cells.take(feature.take(node) + begin) > threshold.take(node)
                below = child.take(node) + above
            # One by one: a row's sum is to be the same, to the last bit, whatever rows are around.
            for leaves in node.reshape(len(roots), n):
                total += value[leaves]
        return torch.from_numpy(total / len(self.roots)).to(rows.device)


@dataclass(frozen=True)
class Forest:
    """A fitted chain; `fit_forest` makes one.

    Parameters
    ----------
    trees : tuple of Trees
        Those of each column that could be learned, in their turn.
    n_rounds : int
        How often all of them take turns.
    """

    trees: tuple[Trees, ...]
    n_rounds: int

    def __post_init__(self) -> None:
        """Refuse more rounds than any fit takes, as a file may ask for them."""
        if not 0 <= self.n_rounds <= MAX_ROUNDS:
            raise ValueError(f"{self.n_rounds} rounds of a forest; at most {MAX_ROUNDS}")

    def complete(self, values: Tensor, observed: Tensor, start: Tensor) -> Tensor:
        """Complete rows, each by itself.

        Parameters
        ----------
        values, start : Tensor of shape (n, p)
            The rows, and a first completion of what is missing in them.
        observed : bool Tensor of shape (n, p)
            Cells whose value is known; all slots of a column together.

        Returns
        -------
        float64 Tensor of shape (n, p)
            Observed cells as they are; missing ones as they started where no tree was learned.
        """
        completed = values.double().where(observed, start.double())
        for _ in range(self.n_rounds):
            for trees in self.trees:
                _take_turn(trees, completed, observed)
        return completed


def fit_forest(
    values: Tensor,
    observed: Tensor,
    column: Tensor,
    start: Tensor,
    generator: torch.Generator,
    *,
    n_trees: int = 60,
    n_rounds: int = 2,
    max_samples: int = 8000,
) -> Forest:
    """Fit a chain of forests to incomplete rows; the module says how.

    Parameters
    ----------
    values : Tensor of shape (n, p)
        The rows, standardised.
    observed : bool Tensor of shape (n, p)
        Cells whose value is known; all slots of a column together.
    column : integer Tensor of shape (p,)
        The column that each slot is of: predicted together, and not from one another.
    start : Tensor of shape (n, p)
        A first completion of what is missing.
    generator : torch.Generator
        Seeds the trees.
    n_trees : int, default=60
        Of each column in the last round; half as many in those before. At least 2.
    n_rounds : int, default=2
        At least 1.
    max_samples : int, default=8000
        Rows that a tree learns from, drawn with replacement where there are more: a bound on time.

    Returns
    -------
    Forest
        Without trees for a column that is observed nowhere, or the only one.
    """
    from sklearn.ensemble import ExtraTreesRegressor  # a second that others need not wait

    groups = [(column == j).nonzero()[:, 0] for j in column.unique()]
    groups = [slots for slots in groups if observed[:, slots[0]].any() and len(slots) < len(column)]
    groups.sort(key=lambda slots: int((~observed[:, slots[0]]).sum()))
    completed = values.double().where(observed, start.double())
    trees: list[Trees] = []
    for left in reversed(range(n_rounds)):
        trees = []
        for slots in groups:
            rows, own = _single(completed[observed[:, slots[0]]]), slots.cpu().numpy()
            others = np.delete(np.arange(len(column)), own)
            many = len(rows) > max_samples
            model = ExtraTreesRegressor(
                n_trees // 2 if left else n_trees,
                max_features=0.5,
                min_samples_leaf=2,
                max_leaf_nodes=max(2, MAX_LEAVES // (n_trees * len(column))),
                bootstrap=many,
                max_samples=max_samples if many else None,
                random_state=int(
                    torch.randint(2**31, (), generator=generator, device=generator.device)
                ),
            )
            target = rows[:, own] if len(own) > 1 else rows[:, own[0]]
            model.fit(rows[:, others], target)
            trees.append(_copy(model, slots, others))
            _take_turn(trees[-1], completed, observed)
    return Forest(tuple(trees), n_rounds)


def _take_turn(trees: Trees, completed: Tensor, observed: Tensor) -> None:
    """Predict the missing cells of a column anew, in place."""
    rows = (~observed[:, trees.slots[0]]).nonzero()
    completed[rows, trees.slots] = trees.predict(completed[rows[:, 0]])


def _single(rows: Tensor) -> NDArray[np.float32]:
    """In the precision that trees compare in, and within its range."""
    single: NDArray[np.float32] = rows.clamp(-1e38, 1e38).float().cpu().numpy()
    return single


def _copy(model: Any, slots: Tensor, others: NDArray[np.int64]) -> Trees:
    """Copy the trees of a fitted forest, whose features are the slots `others`."""
    parts: list[list[NDArray[Any]]] = []
    root = 0
    for tree in (estimator.tree_ for estimator in model.estimators_):
        parts.append([np.array([root]), *_nodes(tree, root, others)])
        root += tree.node_count
    arrays = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Trees(slots, *(torch.from_numpy(array).to(slots.device) for array in arrays))


def _nodes(tree: Any, root: int, others: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Nodes of a fitted tree, from `root` on and in another order: siblings side by side."""
    left, right = tree.children_left, tree.children_right
    inner = np.flatnonzero(left >= 0)
    pairs = 1 + 2 * np.arange(len(inner))
    place = np.zeros(tree.node_count, np.int64)
    place[left[inner]], place[right[inner]] = pairs, pairs + 1
    child = np.arange(tree.node_count)
    child[place[inner]] = pairs
    order = np.argsort(place)
    leaf = left[order] < 0
    feature = others[np.where(leaf, 0, tree.feature[order])]
    # Values are compared as float32: the same of them are above a threshold rounded down.
    threshold = tree.threshold[order].astype(np.float32)
    down = np.nextafter(threshold, np.float32(-np.inf))
    threshold = np.where(threshold > tree.threshold[order], down, threshold)
    return [
        (child + root).astype(np.int32),
        feature.astype(np.int16),
        np.where(leaf, np.float32(np.inf), threshold),
        tree.value[order, :, 0].astype(np.float32),
    ]
