"""Imputers fitted to files: what is learned from, what is said of it, and what is refused."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vaefill.errors import InputError
from vaefill.files.formats import open_source
from vaefill.filling import fill_table, types_of
from vaefill.fitting import fit_sample, read_sample
from vaefill.tables import completion


@pytest.fixture(autouse=True, scope="module")
def few_masks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "MASKED_ROWS", 0)
        yield


def csv(tmp_path, text, **how):
    (tmp_path / "t.csv").write_text(text)
    return open_source(tmp_path / "t.csv", **how)


def many(n):
    """Rows with an id, a float, a count, a code of digits, and nothing in the last column."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    gaps = rng.random((n, 3)) < 0.25
    cells = [
        [f"r{i}", "NA" if a else f"{v:.4f}", "-999" if b else f"{abs(v):.0f}", "" if c else "01"]
        for i, (v, (a, b, c)) in enumerate(zip(x, gaps, strict=True))
    ]
    lines = [",".join([*row, "?"]) for row in [["id", "x", "n", "code"], *cells]]
    lines[0] = "id,x,n,code,empty"
    return "\n".join(lines) + "\n", gaps


def test_what_was_seen_is_said(tmp_path):
    text, gaps = many(400)
    seen = []
    options = {"keep": ["id"], "kinds": {"code": "categorical"}}
    sample = read_sample(csv(tmp_path, text, missing=["-999"]), progress=seen.append, **options)
    imputer, facts = fit_sample(sample, kinds=options["kinds"], max_iter=2)
    assert seen[-1] == facts.rows == 400
    assert facts.learned == (~gaps).any(1).sum()
    assert [(c.name, c.kind) for c in facts.columns] == [
        ("x", "continuous"),
        ("n", "count"),
        ("code", "binary"),
    ]
    assert [c.missing for c in facts.columns] == pytest.approx(gaps.mean(0))
    assert facts.left_out == {"id": "kept as it is", "empty": "nothing is observed"}
    assert json.loads(json.dumps(facts.to_dict()))["columns"][1]["name"] == "n"
    assert types_of(imputer) == {"x": "float", "n": "integer", "code": "text"}
    filled = fill_table(imputer, sample.table)
    assert filled["empty"].null_count == 400
    assert set(filled["code"].to_pylist()) == {"01"}


def test_the_sample_bounds_what_is_learned_from_and_the_seed_decides_it(tmp_path):
    source = csv(tmp_path, many(3000)[0])
    options = {"n_rows": 100, "keep": ["id", "n", "code", "empty"]}
    first, again, other = (read_sample(source, seed=seed, **options) for seed in (0, 0, 1))
    assert (first.rows, first.table.num_rows) == (3000, 100)
    assert first.table == again.table != other.table
    imputer, facts = fit_sample(first, max_iter=2, seed=3)
    assert imputer.max_samples == 100
    assert imputer.random_state == 3
    assert facts.learned == 100 - first.table["x"].null_count
    # More rows than the imputer would learn from by itself, if they are asked for.
    assert fit_sample(first, max_iter=1, max_samples=7)[0].max_samples == 7


def test_types_of_a_file_that_has_them_stay(tmp_path):
    table = pa.table(
        {
            "digits": ["1", "2", None, "1"] * 5,
            "small": pa.array([1, 2, None, -9] * 5, pa.int8()),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    sample = read_sample(open_source(tmp_path / "t.parquet", missing=["-9"]))
    assert sample.table.schema.types == table.schema.types
    imputer, facts = fit_sample(sample, max_iter=2)
    assert types_of(imputer) == {"digits": "text", "small": "integer"}
    assert [column.missing for column in facts.columns] == [0.25, 0.5]


REFUSED = {
    "no such column": (
        "a,b\n1,2\n",
        {"keep": ["c"]},
        r"keep: no column c in .*t.csv, which has a, b",
    ),
    "no such kind": ("a,b\n1,2\n", {"kinds": {"c": "count"}}, "kinds: no column c"),
    "all kept": ("a,b\n1,2\n", {"keep": ["a", "b"]}, "keep: names every column"),
    "one row": ("a,b\n1,2\n", {"n_rows": 1}, "n_rows = 1: must be at least 2"),
    "no rows": ("a,b\n", {}, "no rows"),
    "text": ("a\n1\n2\nx\n", {}, "column 'a', row 3 .*'x' is not a number"),
    "nothing": ("a,b\nNA,\n?,NA\n", {}, "t.csv: nothing is observed in it"),
    "no numbers": ("a\nx\ny\nx\n", {}, "t.csv: no column of numbers among a"),
    "ids": (
        "a,b\n" + "".join(f"name {i},{i}\n" for i in range(60)),
        {},
        "column 'a': 60 categories in 60 cells.*; or keep the column as it is",
    ),
}


@pytest.mark.parametrize(("text", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_learned_from_is_refused(tmp_path, text, options, message):
    with pytest.raises(InputError, match=message) as caught:
        fit_sample(read_sample(csv(tmp_path, text), **options), kinds=options.get("kinds"))
    assert "\n" not in str(caught.value)


def test_images_are_refused(tmp_path):
    np.save(tmp_path / "t.npy", np.zeros((3, 2, 2)))
    with pytest.raises(InputError, match=r"t.npy: images"):
        read_sample(open_source(tmp_path / "t.npy"))


def test_a_file_without_names_is_told_of(tmp_path):
    with pytest.warns(UserWarning, match="names of the columns"):
        sample = read_sample(csv(tmp_path, "5,1.5\n3,2\n,4\n"))
    assert (sample.table.column_names, sample.rows) == (["5", "1.5"], 2)
