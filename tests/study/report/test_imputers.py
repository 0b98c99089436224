"""Reading what every imputer did."""

import re

import numpy as np
import pytest
from imputation_files import (
    ERRORS,
    FEW,
    LEFT_OUT,
    LEVELS,
    RECIPES,
    SECONDS,
    loaded,
    name,
    score_rows,
    sheet,
    write,
)

from study.report.imputers import load
from study.report.imputers import score_rows as rows_for_scores
from study.report.runs import SCORE_COLUMNS
from study.trials.tiles import save_tiles
from vaefill.errors import InputError
from vaefill.storage import save_json

ALL = [name(*key) for key in ERRORS]


def test_what_was_written_is_read_back_in_one_order(tmp_path):
    rows = score_rows(seeds=(0, 1))
    rows += [row | {"output": "prediction", "value": 9.0} for row in rows if row["method"]]
    tried = loaded(tmp_path, scores=rows[::-1])
    for frame in (tried.scores, tried.times, tried.degradation):
        assert list(frame["imputer"].drop_duplicates()) == ALL
        assert list(frame["group"].unique()) == ["baseline", "inference", "trained"]
        assert set(frame["model"]) == {"", "gauss", "t"}
    mse = tried.scores.query("metric == 'mse' and region == 'image' and mechanism == 'random'")
    errors = mse.groupby("imputer")["value"].agg(["mean", "count"])
    np.testing.assert_allclose(errors["mean"], [*ERRORS.values()])
    assert errors["count"].tolist() == [4 if recipe else 1 for recipe, _ in ERRORS]
    seconds = tried.times.groupby("imputer")["seconds"].mean()
    np.testing.assert_allclose(seconds, [*SECONDS.values()], rtol=1e-5)
    assert tried.complete == 0.99
    assert sorted(tried.runs)[:2] == [("conv", "gauss", 0), ("conv", "gauss", 1)]
    assert len(tried.runs) == 3 * 2 * 2
    coverage = tried.scores[tried.scores["metric"].str.startswith("coverage_")]
    assert set(coverage["level"]) == set(LEVELS)
    assert [*tried.draws] == [(r, m, 0) for r in ("slides", "mlp", "conv") for m in ("gauss", "t")]
    np.testing.assert_array_equal(tried.draws["conv", "t", 0], sheet(0))


def test_rows_for_scores_are_the_files_own_but_for_levels_of_the_curve(tmp_path):
    write(tmp_path, among=FEW)
    found = rows_for_scores(tmp_path, RECIPES)
    assert tuple(found) == SCORE_COLUMNS
    rows = [row for row in score_rows(among=FEW) if not re.search("_0.[1-46-8]", row["metric"])]
    rows.sort(key=lambda row: ("", *RECIPES).index(row["recipe"]))
    assert "coverage_0.95" in {row["metric"] for row in rows}
    again = found.astype(object).where(found.notna(), "")
    assert again.iloc[:, :-1].to_numpy().tolist() == [[*row.values()][:-1] for row in rows]
    np.testing.assert_allclose(found["value"], [row["value"] for row in rows], rtol=1e-5)


def test_draws_are_those_of_the_seeds_that_were_scored(tmp_path):
    write(tmp_path, scores=score_rows(seeds=(0, 2), among=FEW))
    for seed in (1, 2):  # one of them is of a former run
        save_tiles(tmp_path / "imputation" / "draws" / "conv" / f"t-{seed}.png", sheet(seed))
    tried = load(tmp_path, RECIPES)
    assert [seed for recipe, model, seed in tried.draws if (recipe, model) == ("conv", "t")] == [
        0,
        2,
    ]
    np.testing.assert_array_equal(tried.draws["conv", "t", 2], sheet(2))
    assert tried.seeds == {recipe: [0, 2] for recipe in RECIPES}


def test_a_recipe_that_is_not_run_is_left_alone(tmp_path):
    write(tmp_path, among=FEW)
    tried = load(tmp_path, ["conv"])
    for frame in (tried.scores, tried.degradation, tried.times):
        assert set(frame["recipe"]) == {"", "conv"}
    assert {recipe for recipe, *_ in tried.draws} == {"conv"}


def test_methods_of_former_runs_are_no_rivals(tmp_path):
    tried = loaded(tmp_path, among=FEW, left=LEFT_OUT)
    # Both are timed still, as all are that once were.
    timings = tmp_path / "imputation" / "timings.csv"
    timings.write_text(timings.read_text() + "slides,gauss,iterated,2.5\n")
    tried = load(tmp_path, RECIPES)
    left = [name(*key) for key in LEFT_OUT]
    for frame in (tried.scores, tried.times, tried.degradation):
        assert list(frame["imputer"].cat.categories) == [name(*key) for key in FEW]
    assert list(tried.left_out["imputer"].drop_duplicates()) == left
    assert len(load(tmp_path, RECIPES, dataset="digits").left_out) == 0
    # Run again, it is a rival.
    again = loaded(tmp_path, among=[*FEW, LEFT_OUT[0]], left=LEFT_OUT)
    assert set(again.left_out["imputer"]) == {left[1]}
    assert left[0] in set(again.scores["imputer"])


def test_times_of_another_data_set_are_left_out(tmp_path):
    write(tmp_path, among=FEW)
    every = load(tmp_path, RECIPES).times
    assert len(load(tmp_path, RECIPES, dataset="mnist").times) == len(every) > 0
    other = load(tmp_path, RECIPES, dataset="digits")
    assert (len(other.times), other.timing) == (0, {})


OWN = "scores/slides"
SCORE = "slides,t,0,random,refit,imputation,image,mse,0.0043"


@pytest.mark.parametrize(
    ("table", "old", "new", "said"),
    [
        (OWN, "recipe,model", "recipes,model", "no column recipe"),
        (OWN, SCORE, SCORE.replace(",t,", ",tt,"), "model 'tt' must be one of gauss, t"),
        (OWN, SCORE, SCORE.replace("random", "mar"), "mechanism 'mar' must be one of none, r"),
        (OWN, SCORE, SCORE.replace(",0,", ",,"), "seed: models gauss and t have one"),
        (OWN, SCORE, SCORE.replace("refit", ""), "method: models gauss and t have one"),
        (OWN, SCORE, SCORE.replace("slides", ""), "recipe: models gauss and t have one"),
        (
            OWN,
            SCORE,
            SCORE.replace("slides", "conv"),
            "recipe must be 'slides', as the file's name",
        ),
        (OWN, SCORE, f"{SCORE}\n{SCORE}", "a second row for recipe 'slides', model 't'"),
        (OWN, "missing,coverage_0.2", "missing,coverage_low", "level of a coverage must be"),
        (OWN, "missing,coverage_0.2", "missing,coverage_20", "level of a coverage must be"),
        (
            "scores/baselines",
            ",zero,",
            "conv,zero,",
            "recipe: models gauss and t have one, and no others",
        ),
        ("timings", "slides,t,refit,", "slides,t,refit,-", "positive; delete it, and `make time`"),
        ("left_out", ",t,0,", ",t,,", "have one, and no others; `git checkout` brings it back"),
        ("degradation/conv", "random,0.1", "random,", "setting: random and square have one"),
        ("degradation/conv", "mar,", "mar,3", "setting: random and square have one, and no others"),
        ("rubin", "0,zero", "0,nought", "source 'nought' must be one of complete, zero"),
    ],
)
def test_a_malformed_table_is_named_with_line_and_rule(tmp_path, table, old, new, said):
    write(tmp_path, among=FEW, left=LEFT_OUT)
    path = tmp_path / "imputation" / f"{table}.csv"
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load(tmp_path, RECIPES)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert said in message
    number = int(re.search(r"line (\d+)", message)[1])
    assert new.splitlines()[-1] in path.read_text().splitlines()[number - 1]


def drawn(file, columns):
    return lambda folder: save_tiles(folder / "draws" / "conv" / file, sheet(0)[:, :columns])


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        (lambda folder: (folder / "scores" / "mlp.csv").unlink(), "mlp.csv: no such file"),
        (lambda folder: save_json(folder / "timings.json", [1]), "timings.json: must hold an obj"),
        (lambda folder: save_json(folder / "timings.json", {"threads": 2}), "object with dataset"),
        (drawn("t-0.png", 3), "t-0.png: 3 columns of tiles; it must have at least 4"),
    ],
)
def test_other_broken_files_are_named_too(tmp_path, breaks, said):
    write(tmp_path, among=FEW)
    breaks(tmp_path / "imputation")
    with pytest.raises(InputError, match=re.escape(said)):
        load(tmp_path, RECIPES)
