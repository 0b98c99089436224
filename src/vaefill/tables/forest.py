r"""One more expert: a chain of extra-trees, as in missForest.

Columns take turns. The cells of a column that are missing are predicted from all other columns as
they are completed so far, by a forest that learned from the rows in which it is observed [1]_; the
columns with fewest missing cells come first, and the round is repeated while completions settle.
The forests are extremely randomised trees [2]_, and the first completion is one that a better
start than means gave: the linear answer.

Only forests of the last round that settled are kept. They complete new rows, row by row and
without learning anew, in as many rounds. A forest is plain arrays: its fitted trees are copied out
of scikit-learn, with which nothing is left to do once they are.

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


@dataclass(frozen=True)
class Trees:
    """The trees that predict the slots of one column, all their nodes in a row.

    Parameters
    ----------
    slots : integer Tensor of shape (k,)
        The slots that are predicted.
    roots : integer Tensor of shape (n_trees,)
        Where each tree begins.
    child : integer Tensor of shape (n_nodes,)
        A node's child for values up to the threshold; the other child is the next node. A leaf
        is its own child.
    feature : integer Tensor of shape (n_nodes,)
        The slot that a node looks at.
    threshold : float32 Tensor of shape (n_nodes,)
        In a leaf infinite, so that nothing leaves it.
    value : float32 Tensor of shape (n_nodes, k)
        Mean of the training cells in the node.
    depth : int
        Steps from a root to the deepest leaf.
    """

    slots: Tensor
    roots: Tensor
    child: Tensor
    feature: Tensor
    threshold: Tensor
    value: Tensor
    depth: int

    def predict(self, x: Tensor) -> Tensor:
        """Mean over the trees of the leaf that each row falls into.

        Parameters
        ----------
        x : float32 Tensor of shape (n, p)
            Completed rows.

        Returns
        -------
        float64 Tensor of shape (n, k)
        """
        # NumPy: on a CPU its gathers take a third of the time of torch's.
        roots, child, feature = (
            part.cpu().numpy().astype(np.int64) for part in (self.roots, self.child, self.feature)
        )
        threshold, value, cells = (
            part.cpu().numpy() for part in (self.threshold, self.value, x.flatten())
        )
        # Tree by tree, so that what is looked up next lies close by.
        first = np.tile(np.arange(0, x.numel(), x.shape[1]), len(roots))
        node = np.repeat(roots, len(x))
        for _ in range(self.depth):
            beyond = cells.take(feature.take(node) + first) > threshold.take(node)
            node = child.take(node) + beyond
        leaf = value[node].reshape(len(roots), len(x), -1)
        return torch.from_numpy(leaf.mean(0, dtype=np.float64)).to(x.device)


@dataclass(frozen=True)
class Forest:
    """A fitted chain; `fit_forest` makes one.

    Parameters
    ----------
    trees : tuple of Trees
        Those of each column that could be learned, in their turn.
    n_rounds : int
        How often they all take turns.
    """

    trees: tuple[Trees, ...]
    n_rounds: int

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
            Observed cells as they are.
        """
        completed = start.double().where(~observed, values.double())
        for _ in range(self.n_rounds):
            for trees in self.trees:
                rows = (~observed[:, trees.slots[0]]).nonzero()
                x = completed[rows[:, 0]].float()
                completed[rows, trees.slots] = trees.predict(x)
        return completed


def fit_forest(
    values: Tensor,
    observed: Tensor,
    start: Tensor,
    column: Tensor,
    generator: torch.Generator,
    *,
    n_trees: int = 30,
    max_rounds: int = 4,
    max_samples: int = 4000,
) -> Forest:
    """Fit a chain of forests to incomplete rows; the module says how.

    A round is the last one when it changes the completion more than the one before did, in squares
    summed over all missing cells; its forests are then dropped.

    Parameters
    ----------
    values, start : Tensor of shape (n, p)
        The rows, standardised, and a first completion of what is missing in them.
    observed : bool Tensor of shape (n, p)
        Cells whose value is known; all slots of a column together.
    column : integer Tensor of shape (p,)
        The column that each slot is of. A column is predicted from the slots of all others.
    generator : torch.Generator
        Seeds the forests.
    n_trees : int, default=30
        Of each forest.
    max_rounds : int, default=4
        At least 1.
    max_samples : int, default=4000
        Rows that a tree learns from: drawn with replacement where there are more. It bounds the
        time and the size of the trees.

    Returns
    -------
    Forest
    """
    groups = [(column == j).nonzero()[:, 0] for j in column.unique()]
    groups = [slots for slots in groups if observed[:, slots[0]].any() and len(slots) < len(column)]
    groups.sort(key=lambda slots: int((~observed[:, slots[0]]).sum()))
    completed = start.double().where(~observed, values.double())
    forest, last = Forest((), 0), float("inf")
    for n_rounds in range(1, max_rounds + 1):
        before, turns = completed.clone(), []
        for slots in groups:
            seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
            trees = _fit_trees(completed, observed, slots, seed, n_trees, max_samples)
            rows = (~observed[:, slots[0]]).nonzero()
            completed[rows, slots] = trees.predict(completed[rows[:, 0]].float())
            turns.append(trees)
        change = float((completed - before).square().sum())
        if change > last:
            break
        forest, last = Forest(tuple(turns), n_rounds), change
    return forest


def _fit_trees(
    completed: Tensor, observed: Tensor, slots: Tensor, seed: int, n_trees: int, max_samples: int
) -> Trees:
    """Learn the slots of a column from all others, in the rows in which it is observed."""
    from sklearn.ensemble import ExtraTreesRegressor  # a second that others need not wait

    table, own = completed[observed[:, slots[0]]].cpu().numpy(), slots.cpu().numpy()
    others = np.delete(np.arange(table.shape[1]), own)
    many = len(table) > max_samples
    model = ExtraTreesRegressor(
        n_trees,
        max_features=0.5,
        min_samples_leaf=2,
        bootstrap=many,
        max_samples=max_samples if many else None,
        random_state=seed,
    )
    target = table[:, own]
    model.fit(table[:, others].astype(np.float32), target if len(own) > 1 else target[:, 0])
    parts: list[list[NDArray[Any]]] = []
    n_nodes = 0
    for tree in (estimator.tree_ for estimator in model.estimators_):
        parts.append([np.array([n_nodes]), *_nodes(tree, n_nodes, others)])
        n_nodes += tree.node_count
    roots, child, feature, threshold, value = (
        torch.from_numpy(np.concatenate(part)).to(completed.device)
        for part in zip(*parts, strict=True)
    )
    depth = max(estimator.tree_.max_depth for estimator in model.estimators_)
    return Trees(slots, roots, child, feature, threshold, value, depth)


def _nodes(tree: Any, offset: int, others: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Nodes of a fitted tree in another order: siblings side by side."""
    left, right = tree.children_left, tree.children_right
    inner = np.flatnonzero(left >= 0)
    pairs = 1 + 2 * np.arange(len(inner))
    place = np.zeros(tree.node_count, np.int64)
    place[left[inner]], place[right[inner]] = pairs, pairs + 1
    child = np.arange(tree.node_count)
    child[place[inner]] = pairs
    order = np.argsort(place)
    leaf = left[order] < 0
    feature = np.where(leaf, 0, others[tree.feature[order]])
    # Values are compared as float32: the same of them are above a threshold rounded down.
    threshold = tree.threshold[order].astype(np.float32)
    down = np.nextafter(threshold, np.float32(-np.inf))
    threshold = np.where(threshold > tree.threshold[order], down, threshold)
    return [
        (child + offset).astype(np.int32),
        feature.astype(np.int16),
        np.where(leaf, np.float32(np.inf), threshold),
        tree.value[order, :, 0].astype(np.float32),
    ]
