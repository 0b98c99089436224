import re

import numpy as np
import pytest
from imputation_files import ERRORS, SECONDS, loaded, score_rows, sheet, write

from study.report.imputation_results import BASELINES, Cell, Method, Run, load
from study.trials.tiles import save_tiles
from vaefill.errors import InputError
from vaefill.storage import save_json

MSE = Cell("random", "image", "mse")
REFIT = Method("slides", "refit")


def by_run(values):
    """Replace the MSE of the refitted encoder, random pixels missing, per model and seed."""

    def change(row):
        names = (row["method"], row["mechanism"], row["region"], row["metric"])
        if names == ("refit", *MSE):
            row["value"] = values[row["model"], row["seed"]]
        return row

    return change


def test_what_was_written_is_read_back(tmp_path):
    results = loaded(tmp_path)
    assert {(m.recipe, m.name) for m in results.methods} == set(ERRORS)
    for recipe, name in ERRORS:
        method = Method(recipe, name)
        assert results.mean(method, MSE) == pytest.approx(ERRORS[recipe, name])
        assert results.time(method) == pytest.approx(SECONDS[recipe, name], rel=1e-5)
        assert results.models(method) == (["gauss", "t"] if recipe else [""])
    assert results.complete == 0.99
    assert results.seeds == [0]
    assert results.timing["threads"] == 2
    assert results.degradation[REFIT, "t"]["random", 0.9] == pytest.approx(0.043)
    assert results.degradation[Method("", "zero"), ""]["mar", None] == pytest.approx(0.09)
    assert [e.fmi for e in results.rubin if e.digit == "3"] == [None, None, None, 0.1]
    np.testing.assert_array_equal(results.draws["conv", "t"], sheet(0))


def test_baselines_come_first_then_vaes_then_what_was_trained_to_impute(tmp_path):
    write(tmp_path)
    table = tmp_path / "imputation" / "scores.csv"
    header, *lines = table.read_text().splitlines()
    table.write_text("\n".join([header, *reversed(lines)]))
    results = load(tmp_path)
    assert [m.name for m in results.methods[:5]] == list(BASELINES)
    groups = [m.group for m in results.methods]
    assert groups == sorted(groups, key=("baseline", "inference", "trained").index)
    assert [m.recipe for m in results.methods[-4:]] == ["mlp", "mlp", "conv", "conv"]
    assert [*dict.fromkeys(recipe for recipe, _ in results.draws)] == ["slides", "mlp", "conv"]
    assert [*dict.fromkeys(m for m, _ in results.degradation)] == results.methods


def test_means_are_over_seeds_and_over_models(tmp_path):
    values = {("gauss", 0): 1.0, ("gauss", 1): 3.0, ("t", 0): 5.0, ("t", 1): 9.0}
    results = loaded(tmp_path, scores=score_rows(seeds=(0, 1), change=by_run(values)))
    assert results.mean(REFIT, MSE, "gauss") == 2
    assert results.mean(REFIT, MSE, "t") == 7
    assert results.mean(REFIT, MSE) == 4.5
    assert results.runs(REFIT, MSE) == {Run(*run): value for run, value in values.items()}
    assert results.mean(REFIT, Cell("random", "image", "unheard")) is None
    assert results.runs(Method("", "zero"), MSE) == {Run(): 0.03}


def test_scores_alone_will_do(tmp_path):
    results = loaded(tmp_path, without=("timings", "degradation", "rubin", "draws"))
    assert (results.seconds, results.timing, results.degradation) == ({}, {}, {})
    assert (results.rubin, results.draws) == ((), {})
    assert results.time(REFIT) is None


def test_predictions_are_left_out(tmp_path):
    rows = score_rows()
    rows += [row | {"output": "prediction", "value": 9.0} for row in rows]
    assert loaded(tmp_path, scores=rows).mean(REFIT, MSE) == pytest.approx(0.0043)


def test_of_several_seeds_the_first_has_its_draws_shown(tmp_path):
    write(tmp_path)
    save_tiles(tmp_path / "imputation" / "draws" / "conv-t-10.png", sheet(10))
    save_tiles(tmp_path / "imputation" / "draws" / "mlp-t-0.png", sheet(7))
    draws = load(tmp_path).draws
    np.testing.assert_array_equal(draws["conv", "t"], sheet(0))
    np.testing.assert_array_equal(draws["mlp", "t"], sheet(7))


SCORE = "slides,t,0,random,map,imputation,image,mse,0.0048"


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("scores", "recipe,model", "model,recipe", "its columns are model,recipe,seed"),
        ("scores", SCORE, SCORE + ",1", "does not have one value per column"),
        ("scores", SCORE, SCORE.replace("0.0048", "low"), "value 'low' must be a finite number"),
        ("scores", SCORE, SCORE.replace("0.0048", "nan"), "value 'nan' must be a finite number"),
        ("scores", SCORE, SCORE.replace(",t,", ",tt,"), "model 'tt' must be one of gauss, t"),
        ("scores", ",knn,", ",kn,", "model 'kn' must be one of zero, mean, knn"),
        ("scores", SCORE, SCORE.replace("random", "mar"), "mechanism 'mar' must be one of random"),
        ("scores", SCORE, SCORE.replace(",0,", ",-1,"), "seed '-1' must be a whole number"),
        ("scores", SCORE, SCORE.replace("map", ""), "no method"),
        ("scores", SCORE, f"{SCORE}\n{SCORE}", "a second mse of the same"),
        ("scores", "missing,coverage_0.2", "missing,coverage_low", "level of coverage 'low' must"),
        ("timings", "slides,t,map,", "slides,t,map,-", "must be positive"),
        ("degradation", "random,0.1", "random,", "setting ''"),
        ("degradation", "mar,", "mar,3", "setting '3'"),
        ("degradation", "random,0.1", "random,a", "setting 'a' must be a finite number"),
        ("rubin", "0,zero", "0,nought", "source 'nought' must be one of complete, zero"),
        ("rubin", "0,multiple,0.1", "0,multiple,?", "estimate '?' must be a finite number"),
    ],
)
def test_a_malformed_table_is_named_with_the_line(tmp_path, name, old, new, said):
    write(tmp_path)
    path = tmp_path / "imputation" / f"{name}.csv"
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load(tmp_path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert said in message
    if "columns are" not in message:
        lines = path.read_text().splitlines()
        number = int(re.search(r"line (\d+)", message)[1])
        assert new.splitlines()[-1] in lines[number - 1]


def test_other_broken_files_are_named_too(tmp_path):
    with pytest.raises(InputError, match=r"scores\.csv: no such file"):
        load(tmp_path)
    write(tmp_path, scores=[])
    with pytest.raises(InputError, match=r"scores\.csv: no scores in it"):
        load(tmp_path)
    write(tmp_path)
    (tmp_path / "imputation" / "timings.json").write_text("[1]")
    with pytest.raises(InputError, match=r"timings\.json: must hold an object"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "columns", "said"),
    [
        ("conv-t.png", 9, "its name must be RECIPE-MODEL-SEED.png"),
        ("conv-x-0.png", 9, "its name must be RECIPE-MODEL-SEED.png"),
        ("conv-t-1.png", 3, "3 columns of tiles; it must have at least 4"),
    ],
)
def test_a_wrong_sheet_of_draws_is_named(tmp_path, name, columns, said):
    write(tmp_path, without=("draws",))
    save_tiles(tmp_path / "imputation" / "draws" / name, sheet(0)[:, :columns])
    with pytest.raises(InputError, match=rf"{re.escape(name)}: {re.escape(said)}"):
        load(tmp_path)


def test_times_of_another_data_set_are_left_out(tmp_path):
    write(tmp_path)
    path = tmp_path / "imputation" / "timings.json"
    save_json(path, {"dataset": "mnist", "threads": 2})
    assert load(tmp_path, dataset="mnist").seconds == load(tmp_path).seconds != {}
    other = load(tmp_path, dataset="digits")
    assert other.seconds == other.timing == {}
