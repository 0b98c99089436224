"""The page of the imputers: its numbers and verdicts, by hand."""

import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from imputation_files import ERRORS, SECONDS, SQUARE, loaded, name, score_rows, sheet, write
from scipy import stats

from study.report.figures.imputation import planned
from study.report.formats import duration
from study.report.imputers import BASELINES, load
from study.report.pages.imputation import choices, imputers, page
from study.report.render import render
from study.report.runs import ENVIRONMENT
from study.report.verdicts import BETTER, SAME, UNKNOWN, WORSE
from study.trials.tiles import save_tiles
from vaefill.storage import load_table, save_table

PARAMS = {
    "dataset": "mnist",
    "mask": {"random": {"fraction": 0.3}, "square": {"size": 12}},
    "split": {"test_size": 10000},
    "infer": {"images": 1000, "n_draws": 79, "valid_images": 500},
    "degrade": {"images": 200},
}
CONV, SINGLE = name("conv", "draws"), name("conv", "single_pass")


def histories(tried):
    rows = [(*run, "cpu", "3.11", "2.13", "float32") for run in tried.runs]
    return pd.DataFrame(rows, columns=["recipe", "model", "seed", *ENVIRONMENT])


def pages(tried, **params):
    """What the page says, and its text."""
    found = page(tried, histories(tried), PARAMS | params)
    return found, render("imputation.md.j2", found)


def changed(**wanted):
    """Change the rows that have these names: `scale` multiplies, `value` replaces, None drops."""
    scale, value = wanted.pop("scale", 1), wanted.pop("value", 0)

    def change(row):
        if any(row[column] != wish for column, wish in wanted.items()):
            return row
        return None if value is None else row | {"value": value or row["value"] * scale}

    return change


def results(folder, *changes, seeds=(0,), complete=0.99, **options):
    def change(row):
        for one in changes:
            row = row and one(row)
        return row

    return loaded(
        folder, scores=score_rows(seeds=seeds, change=change, complete=complete), **options
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What the page says of results that nothing was changed in, and its text."""
    return pages(results(tmp_path_factory.mktemp("reports")))


def chosen(tried):
    """The choices, by what is wanted and by mask."""
    return {(row.want, row.mechanism): row for row in choices(tried).itertuples()}


# Which imputer for what


def test_choices_by_hand(tmp_path):
    tried = results(tmp_path)
    picks = chosen(tried)
    expected = {
        "best": ("conv", "draws"), "ssim": ("conv", "draws"), "baseline": ("", "gaussian"),
        "unfitted": ("", "biharmonic"), "inference": ("slides", "refit"),
        "slides": ("slides", "single_pass"), "trained": ("conv", "draws"),
        "quick": ("conv", "single_pass"), "honest": ("conv", "draws"),
    }  # fmt: skip
    for (want, key), mechanism in product(expected.items(), ("random", "square")):
        found = picks[want, mechanism]
        mse = ERRORS[key] * (1 if mechanism == "random" else SQUARE)
        assert found.imputer == name(*key), want
        assert found.others == []
        assert found.mse == (f"{mse:.5f} / {mse:.5f}" if key[0] else f"{mse:.5f}")
        assert found.ratio == pytest.approx(ERRORS[key] / 0.00133, rel=1e-4)
        assert found.seconds == pytest.approx(SECONDS[key], rel=1e-4)
        assert found.speed == pytest.approx(SECONDS["conv", "draws"] / SECONDS[key], rel=1e-4)
    first = imputers(tried)
    assert first["best"] == {"random": CONV, "square": CONV}
    for gain in first["gains"].values():
        assert gain["imputer"] == name("slides", "refit")
        assert gain["change"] == pytest.approx(0.0043 / 0.0093 - 1, rel=1e-4)
    table = first["table"]
    assert table.shape == (5, 3)
    assert table.iloc[0, 1] == f"{CONV}, 0.00133 / 0.00133, {duration(SECONDS['conv', 'draws'])} s"
    assert table.iloc[4, 2].endswith("covers 90.0 / 90.0 %")
    assert not first["tied"]


def test_another_best_is_named_where_the_numbers_say_so(tmp_path):
    better = changed(recipe="slides", method="map", mechanism="square", metric="mse", scale=0.1)
    tried = results(tmp_path, better)
    picks = chosen(tried)
    assert picks["best", "random"].imputer == picks["ssim", "square"].imputer == CONV
    assert picks["best", "square"].imputer == name("slides", "map")
    assert picks["trained", "square"].ratio == pytest.approx(0.00133 / 0.00048, rel=1e-4)
    assert imputers(tried)["best"] == {"random": CONV, "square": name("slides", "map")}


def test_what_the_best_is_not_ahead_of_stands_beside_it(tmp_path):
    # Of the t, a single pass is better: the mean is still that of the draws.
    worse = changed(recipe="conv", method="draws", model="t", metric="mse", scale=1.05)
    first = imputers(results(tmp_path, worse))
    assert first["tied"]
    assert first["table"].iloc[0, 1].startswith(f"{CONV} ≈ {SINGLE}, 0.00133 / 0.00140, ")


@pytest.mark.parametrize("wanted", [{"model": "t", "value": 0.004}, {"value": 0.0001}])
def test_a_single_pass_that_is_as_good_leaves_no_gain(tmp_path, wanted):
    same = changed(method="single_pass", recipe="slides", metric="mse", **wanted)
    assert imputers(results(tmp_path, same))["gains"] == {}


def test_speed_is_within_ten_percent_of_the_best(tmp_path):
    worse = changed(recipe="conv", method="single_pass", metric="mse", scale=1.1)
    assert chosen(results(tmp_path, worse))["quick", "random"].imputer == CONV


def test_who_was_not_timed_is_named(tmp_path):
    write(tmp_path)
    path = tmp_path / "imputation" / "timings.csv"
    kept = [line for line in path.read_text().splitlines() if ",draws," not in line]
    path.write_text("\n".join(kept))
    found, text = pages(load(tmp_path))
    assert found["untimed"] == [name("mlp", "draws"), CONV]
    assert f"Not timed: {name('mlp', 'draws')}, {CONV}." in text


def test_honest_intervals(tmp_path):
    def coverage(method, value, region="missing", mechanism="square"):
        return changed(
            method=method, metric="coverage_0.9", region=region, mechanism=mechanism, value=value
        )

    tried = results(
        tmp_path, coverage("pseudo_gibbs", 0.87), coverage("importance", 0.93),
        coverage("metropolis_within_gibbs", 0.8699), coverage("laplace", 0.9301),
        *(coverage("draws", 0.9, "grey", m) for m in ("random", "square")),
    )  # fmt: skip
    honest = pages(tried)[0]["honest"]
    draws = [name("mlp", "draws"), CONV]
    others = [name("slides", method) for method in ("pseudo_gibbs", "importance", "refit")]
    assert honest["missing"] == others + draws
    assert honest["grey"] == draws
    assert honest["drawing"] == 7
    assert (honest["least"], honest["most"]) == (0.8699, 0.9301)
    # One model that is wrong, or one mask that is not there, and nobody is honest.
    for wrong in ({"model": "t", "value": 0.5}, {"mechanism": "square", "value": None}):
        tried = results(tmp_path, changed(metric="coverage_0.9", region="missing", **wrong))
        assert ("honest", "random") not in chosen(tried)


def test_whether_the_digit_is_kept(tmp_path, plain):
    row = plain[0]["digit"].iloc[0]
    regained = 100 * (0.03 - 0.00133) / 0.03
    assert row.tolist() == [
        "random pixels",
        CONV,
        "–",
        "96.00",
        "98.87",
        "99.00",
        f"{regained:.0f}",
    ]
    # Where zeros cost nothing, nothing can be made good.
    zeros = changed(metric="accuracy", model="zero", value=0.995)
    row = pages(results(tmp_path, zeros))[0]["digit"].iloc[0]
    assert row.tolist() == ["random pixels", "zeros", "–", "99.50", "99.50", "99.00", "–"]


# Gaussian or t, and targets


def test_one_seed_cannot_tell_gaussian_from_t(tmp_path):
    larger = changed(model="t", metric="mse", method="refit", scale=1.25, region="image")
    latents = imputers(results(tmp_path, larger))["latents"]
    assert latents["n"] == 2 * (len(ERRORS) - len(BASELINES))
    assert latents["told"] == 0
    assert (latents["low"], latents["high"]) == pytest.approx((0, 0.25), abs=1e-5)


@pytest.mark.parametrize(("effect", "word"), [(0.1, WORSE), (-0.1, BETTER), (0.001, SAME)])
def test_gaussian_against_t_is_paired_by_seed(tmp_path, effect, word):
    shared, own = np.array([0.0, 0.3, -0.2]), np.array([0.01, -0.01, 0.0])

    def change(row):
        if row["metric"] != "mse" or not row["recipe"]:
            return row
        found = effect * (row["method"] == "refit" and row["mechanism"] == "square")
        share = shared[row["seed"]] + (row["model"] == "t") * (own[row["seed"]] + found)
        return row | {"value": row["value"] * (1 + share)}

    tried = results(tmp_path, change, seeds=(0, 1, 2))
    latents = imputers(tried)["latents"]
    n = latents["n"] - (word != SAME)
    assert latents["counts"] == {BETTER: 0, WORSE: 0, UNKNOWN: 0} | {word: 1} | {SAME: n}
    low, high = stats.t.interval(0.95, 2, loc=effect + own.mean(), scale=stats.sem(own))
    ends = [f"{100 * end / (1 + shared.mean()):+.1f} %".replace("-", "−") for end in (low, high)]
    rows = latents["table"].set_index(["imputer", "missing"])
    row = rows.loc[name("slides", "refit"), "a square"]
    assert row["t − Gaussian"].endswith(f"[{', '.join(ends)}]")
    assert row["t prior is"] == word
    assert "seeds 0, 1, 2" in pages(tried)[1]


def test_targets_are_held_against_the_best_of_each_group(tmp_path, plain):
    words = plain[0]["targets"]["verdict"].tolist()
    assert words == ["met", "missed", "met", "met", "met", "met", "met", "met"]
    found = pages(results(
        tmp_path,
        changed(method="refit", metric="mse", mechanism="random", model="t", value=0.00441),
        changed(model="gaussian", metric="mse", mechanism="square", value=0.0070),
        changed(recipe="conv", metric="ssim", mechanism="square", value=0.9),
        changed(recipe="mlp", metric="ssim", mechanism="square", value=0.89),
    ))[0]["targets"]  # fmt: skip
    alone = "met by the Gaussian alone"
    assert found["verdict"].tolist() == [
        alone, "missed", "met", "met", "met", "missed", "met", "missed",
    ]  # fmt: skip
    assert found["Gaussian / t"][5] == "0.9000 / 0.9000"
    assert found["best"][0] == name("slides", "refit")


def test_targets_are_about_mnist_alone(tmp_path):
    found, text = pages(results(tmp_path), dataset="digits")
    assert found["targets"].empty
    assert "target" not in text


# Tables


def test_bold_marks_the_best_of_every_column(tmp_path):
    rng = np.random.default_rng(0)
    tried = results(tmp_path, lambda row: row | {"value": row["value"] * rng.uniform(0.5, 1)})
    tables = [table.iloc[:-1] for table in pages(tried)[0]["scores"].values()]
    assert [len(table) for table in tables] == 2 * [5 + 2 * 12]
    for table, column in product(tables, tables[0].columns[2:]):
        values = pd.to_numeric(table[column].str.strip("*"), errors="coerce")
        best = 90 if "90" in column else 1e9 if "SSIM" in column or "digit" in column else 0
        off = (values - best).abs()
        plain = column in ("flagged, %", "inside, ends included, %")  # neither end is the better
        bold = table[column].str.startswith("**")
        assert bold.tolist() == ((off == off.min()) & (not plain)).tolist(), column


def test_cells_by_hand(plain):
    found, _ = plain
    table = found["scores"]["random pixels"].set_index(["imputer", "latent"])
    assert table.loc[("zeros", "–"), ["MSE", "CRPS"]].tolist() == ["0.03000", "–"]
    refit = table.loc[name("slides", "refit"), "t prior"]
    assert refit["90 % covers, grey, %"] == "**81.0**"
    assert refit["flagged, %"] == "2.0"
    assert table.loc[("*the complete image*", "–"), "right digit, %"] == "99.00"
    others = found["degradation"]["others"]
    assert list(others) == ["imputer", "latent", "top half", "MAR", "MNAR"]
    assert others.iloc[0].tolist() == ["zeros", "–", "0.09000", "0.09000", "0.09000"]
    assert others.iloc[-1, 2:].tolist() == ["**0.00399**"] * 3
    curve = found["degradation"]["random pixels"].set_index(["imputer", "latent"])
    assert list(curve) == [f"{percent} %" for percent in range(10, 100, 10)]
    assert curve.loc[(CONV, "t prior"), "90 %"] == f"**{0.00133 * 10:.5f}**"


def test_rubin_counts_by_hand(tmp_path):
    write(tmp_path, without=("draws",))
    path = tmp_path / "imputation" / "rubin.csv"
    rows = load_table(path)
    # Digit 0 has 0.1 of ink: this interval of the means holds it, that of the draws does not.
    rows[2] |= {"low": "0.099", "high": "0.107"}
    rows[3] |= {"low": "0.101", "high": "0.105"}
    save_table(path, [*rows[0]], [[*row.values()] for row in rows])
    rubin = pages(load(tmp_path))[0]["rubin"]
    assert rubin["counts"].iloc[:, 1].tolist() == ["0 of 10", "1 of 10", "9 of 10"]
    assert rubin["table"].iloc[0, 1] == "0.1000 [0.0980, 0.1020]"


def test_draws_that_are_all_one_are_named(tmp_path):
    write(tmp_path)
    tiles = sheet(0)
    tiles[:, 3:] = tiles[:, 2:3]  # of the Gaussian: six times the imputation
    save_tiles(tmp_path / "imputation" / "draws" / "mlp-gauss-0.png", tiles)
    # Of the t: 100 in every other draw and 140 in the others, where pixels are missing.
    shade = np.array([100, 140] * 3, np.uint8)[None, :, None, None]
    tiles[:, 3:] = np.where(tiles[:, None, 1] > 0, shade, tiles[:, 3:])
    save_tiles(tmp_path / "imputation" / "draws" / "mlp-t-0.png", tiles)
    draws = pages(load(tmp_path))[0]["draws"]
    assert draws["table"]["grey levels"][2:4].tolist() == ["0.0", "20.0"]
    assert draws["one"] == ["`mlp` (Gaussian)"]


# The page


def only(rows):
    return lambda row: row if rows(row) else None


DROPS = {
    "baselines": only(lambda row: row["recipe"]),
    "vaes": only(lambda row: row["recipe"] != "slides"),
    "trained": only(lambda row: row["recipe"] not in ("mlp", "conv")),
    "all but baselines": only(lambda row: not row["recipe"]),
    "t": only(lambda row: row["model"] != "t"),
    "square": only(lambda row: row["mechanism"] != "square"),
    "mse": only(lambda row: row["metric"] != "mse"),
    "coverage": only(lambda row: not row["metric"].startswith("coverage")),
    "grey": only(lambda row: row["region"] != "grey"),
    "accuracy": only(lambda row: row["metric"] != "accuracy"),
    "ssim": only(lambda row: row["metric"] != "ssim"),
    "zeros": only(lambda row: row["model"] != "zero"),
}
FILES = ("timings", "degradation", "rubin", "draws")


@pytest.mark.parametrize(
    ("drop", "without"),
    [*product(DROPS, [()]), (None, FILES), (None, ("timings",)), ("mse", FILES)],
)
def test_whatever_is_missing_the_page_comes_out(tmp_path, drop, without):
    tried = results(tmp_path, *([DROPS[drop]] if drop else []), without=without)
    text = pages(tried)[1]
    shown = set(re.findall(r"\(imputation/figures/(\w+)\.png\)", text))
    assert shown == set(planned(tried))
    assert not re.search(r"\bnan\b|None|\(\)|\*\*\*\*|[:;,] ?[.;]", text)


def test_the_page_depends_on_the_results_alone(tmp_path):
    rows = score_rows(seeds=(0, 1))
    text = pages(loaded(tmp_path / "a", scores=rows))[1]
    assert pages(loaded(tmp_path / "b", scores=rows[::-1]))[1] == text
    assert text.index("# Which") < text.index("| you want") < text.index("quality_time.png")
    assert len(text[: text.index("\n## ")].splitlines()) <= 25
    for number in ("10,000 test images; 30 %", "12 × 12", "1,000 images, 2 threads, device cpu"):
        assert number in text
    assert "| `conv` | cpu" in text.replace("  ", "")
