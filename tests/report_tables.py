"""Small tables for the tests of the report, and assessments of which the scores are known."""

from functools import cache

import numpy as np
import pyarrow as pa

from vaefill.report.assessment import IMPUTERS, Assessment
from vaefill.report.trial import assess
from vaefill.tables.kinds import Column

NAN = np.nan
QUICK = {"max_iter": 20, "hidden": (8,)}


def by_hand():
    """Two columns, numbers 0 and 4 (mean 2, deviation 2) and three colours; four cells hidden."""
    truth = np.array([[0.0, 0], [4.0, 1], [0.0, 2], [4.0, NAN]])
    hidden = np.array([[True, False], [True, True], [False, True], [False, False]])
    guess = truth.copy()
    guess[0, 0], guess[1, 0] = 1.0, 7.0  # off by 1 and 3: .5 and 1.5 standard deviations
    guess[1, 1], guess[2, 1] = 1.0, 0.0  # right and wrong
    return Assessment(
        names=("height", "colour"),
        columns=(
            Column("continuous", 0.0, 4.0),
            Column("categorical", 0.0, 1.0, levels=("a", "b", "c")),
        ),
        truth=truth,
        hidden=hidden,
        filled=dict.fromkeys(IMPUTERS, guess),
        drawn=guess,
        lower=np.where(hidden, guess - 1, truth),
        upper=np.where(hidden, guess + 1, truth),
        empty=(),
        left_out=(),
        gaps={"height": 0, "colour": 1},
        n_rows=4,
    )


def mixed(n=300, seed=0):
    """Numbers, whole numbers and categories of one cause, a column without values, and gaps."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    gap = rng.random((n, 4)) < 0.15
    return pa.table(
        {
            "x": pa.array(z, mask=gap[:, 0]),
            "y": pa.array(2 * z + 0.1 * rng.normal(size=n), mask=gap[:, 1]),
            "count": pa.array(np.rint(np.exp(1 + z)).astype(np.int64), mask=gap[:, 2]),
            "colour": pa.array(np.array(["red", "green", "blue"])[np.digitize(z, [-0.4, 0.4])]),
            "nothing": pa.nulls(n),
            "nan": pa.array(np.where(gap[:, 3], NAN, -z)),
        }
    )


@cache
def assessed_mixed():
    return assess(mixed(), **QUICK)


def assessed(spread, n=400, gap=0.2):
    """Three columns of numbers of deviation 1, of which imputers are wrong by given amounts."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(n, 3))
    truth -= truth.mean(0)
    truth /= truth.std(0)
    hidden = rng.random((n, 3)) < 0.3
    common = rng.normal(size=(n, 3))
    filled = {
        name: np.where(hidden, truth + s * (common if s > 0 else 1), truth)
        for name, s in zip(IMPUTERS, spread, strict=True)
    }
    missing = ~hidden & (rng.random((n, 3)) < gap)
    return Assessment(
        names=("a", "b", "c"),
        columns=(Column("continuous", -9.0, 9.0),) * 3,
        truth=np.where(missing, np.nan, truth),
        hidden=hidden,
        filled=filled,
        drawn=truth,
        lower=truth - 1,
        upper=truth + 1,
        empty=(),
        left_out=(),
        gaps=dict(zip("abc", missing.sum(0).tolist(), strict=True)),
        n_rows=n,
    )
