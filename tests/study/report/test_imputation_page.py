"""The page of the imputers: its numbers and verdicts, by hand."""

import re
from functools import reduce
from itertools import product
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from imputation_files import (
    ERRORS,
    FEW,
    LEFT_OUT,
    SECONDS,
    SQUARE,
    loaded,
    name,
    score_rows,
    sheet,
)
from scipy import stats

from study.report import budgets
from study.report.figures.imputation import planned
from study.report.formats import duration
from study.report.imputers import BASELINES
from study.report.pages.imputation import choices, honesty, imputers, page
from study.report.ranking import COVERAGE, latents
from study.report.render import render
from study.report.runs import ENVIRONMENT
from study.report.verdicts import BETTER, SAME, UNKNOWN, WORSE

PARAMS = {
    "dataset": "mnist",
    "mask": {"random": {"fraction": 0.3}, "square": {"size": 12}},
    "split": {"test_size": 10000},
    "infer": {
        "recipe": "slides",
        "images": 1000,
        "methods": ["map"],
        "n_draws": 79,
        "seeds": [0],
        "valid_images": 500,
    },
    "masked": {"networks": ["conv"], "seeds": {"conv": [0]}},
    "degrade": {"images": 200},
}
CONV, SINGLE, REFIT = (
    name(*key) for key in (("conv", "draws"), ("conv", "single_pass"), ("slides", "refit"))
)


def pages(tried, kls=MappingProxyType({}), **params):
    """What the page says, and its text; `kls` are those of some runs after the last epoch."""
    rows = [
        (*run, epoch, 5.0 * epoch, "cpu", "3.11", "2.13", "float32")
        for run in tried.runs for epoch in (1, 2)
    ]  # fmt: skip
    names = ["recipe", "model", "seed", "epoch", "valid_kl", *ENVIRONMENT]
    histories = pd.DataFrame(rows, columns=names)
    last = histories["epoch"] == 2
    for (recipe, model, seed), kl in kls.items():
        run = {"recipe": recipe, "model": model, "seed": seed}
        histories.loc[last & (histories[[*run]] == pd.Series(run)).all(axis=1), "valid_kl"] = kl
    found = page(tried, histories, PARAMS | params, budgets.load("nowhere", []))
    return found, render("imputation.md.j2", found)


def test_tables_of_an_earlier_run_say_so(tried):
    old = "- These tables are of an earlier run"
    assert old not in pages(tried)[1]
    found, text = pages(tried, masked={"networks": ["conv"], "seeds": {"conv": [0, 7, 8]}})
    assert found["lacking"] == {"conv": [7, 8]}
    assert f"{old}, in part on other numbers of images than said here: they lack seeds 7, 8" in text


def changed(tried, new, **names):
    """Give the scores that have these names a new value, or change it by a function."""
    scores = tried.scores.copy()
    at = (scores[[*names]] == pd.Series(names)).all(axis=1)
    assert at.any()
    scores.loc[at, "value"] = new(scores["value"][at]) if callable(new) else new
    return tried._replace(scores=scores)


def kept(tried, rows):
    """Keep the scores for which a query holds."""
    scores = tried.scores.query(rows) if rows else tried.scores
    scores = scores.assign(imputer=scores["imputer"].cat.remove_unused_categories())
    return tried._replace(scores=scores)


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    return loaded(tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return loaded(tmp_path_factory.mktemp("reports"), among=FEW)


@pytest.fixture(scope="module")
def plain(tried):
    return pages(tried)


# Which imputer for what


def test_choices_by_hand(tried):
    names = {"recipe": "slides", "method": "map", "mechanism": "square", "metric": "mse"}
    found = changed(tried, lambda mse: 0.1 * mse, **names)
    errors = {("random", key): mse for key, mse in ERRORS.items()}
    errors |= {("square", key): SQUARE * mse for key, mse in ERRORS.items()}
    errors["square", ("slides", "map")] *= 0.1
    expected = {
        "best": ("conv", "draws"), "ssim": ("conv", "draws"), "baseline": ("", "gaussian"),
        "unfitted": ("", "biharmonic"), "inference": ("slides", "refit"),
        "slides": ("slides", "single_pass"), "trained": ("conv", "draws"),
        "quick": ("conv", "single_pass"), "honest": ("conv", "draws"),
    }  # fmt: skip
    expected = {(want, m): key for want, key in expected.items() for m in ("random", "square")}
    expected |= {(want, "square"): ("slides", "map") for want in ("best", "inference", "quick")}
    picks = {(row.want, row.mechanism): row for row in choices(found).itertuples()}
    assert set(picks) == set(expected)
    for (want, mechanism), key in expected.items():
        pick, best = picks[want, mechanism], expected["best", mechanism]
        mse = errors[mechanism, key]
        assert pick.imputer == name(*key), want
        assert pick.others == []
        assert pick.mse == (f"{mse:.5f} / {mse:.5f}" if key[0] else f"{mse:.5f}")
        assert pick.ratio == pytest.approx(mse / errors[mechanism, best], rel=1e-4)
        assert pick.seconds == pytest.approx(SECONDS[key], rel=1e-4)
        assert pick.speed == pytest.approx(SECONDS[best] / SECONDS[key], rel=1e-4)
    first = imputers(found)
    assert first["best"] == {"random": CONV, "square": name("slides", "map")}
    gain = first["gains"]["random"]
    assert gain == {"imputer": REFIT, "change": pytest.approx(0.0043 / 0.0093 - 1, rel=1e-4)}
    table = first["table"]
    assert table.shape == (5, 3)
    assert table.iloc[0, 1] == f"{CONV}, 0.00133 / 0.00133, {duration(SECONDS['conv', 'draws'])} s"
    assert table.iloc[4, 2].endswith("covers 90.0 / 90.0 %")
    assert not first["tied"]


def test_what_the_best_is_not_ahead_of_stands_beside_it(few):
    # Of the t, a single pass is better: the mean is still that of the draws.
    names = {"recipe": "conv", "method": "draws", "model": "t", "metric": "mse"}
    first = imputers(changed(few, lambda mse: 1.05 * mse, **names))
    assert first["tied"]
    assert first["table"].iloc[0, 1].startswith(f"{CONV} ≈ {SINGLE}, 0.00133 / 0.00140, ")


@pytest.mark.parametrize(("mse", "names"), [(0.004, {"model": "t"}), (0.0001, {})])
def test_a_single_pass_that_is_as_good_leaves_no_gain(few, mse, names):
    same = changed(few, mse, method="single_pass", recipe="slides", metric="mse", **names)
    assert imputers(same)["gains"] == {}


def test_speed_is_within_ten_percent_of_the_best(few):
    worse = changed(few, lambda x: 1.1 * x, recipe="conv", method="single_pass", metric="mse")
    assert choices(worse).query("want == 'quick'")["imputer"].tolist() == [CONV, CONV]


def test_who_was_not_timed_is_named(few):
    found, text = pages(few._replace(times=few.times.query("method != 'draws'")))
    assert found["untimed"] == [name("mlp", "draws"), CONV]
    assert f"Not timed: {name('mlp', 'draws')}, {CONV}." in text


def test_honest_intervals(tried):
    coverage = {"metric": "coverage_0.9", "region": "missing"}
    covers = {"pseudo_gibbs": 0.87, "importance": 0.93, "metropolis_within_gibbs": 0.8699,
              "laplace": 0.9301}  # fmt: skip
    found = reduce(
        lambda tried, new: changed(tried, new[1], method=new[0], mechanism="square", **coverage),
        covers.items(),
        changed(tried, 0.9, metric="coverage_0.9", region="grey", method="draws"),
    )
    honest = pages(found)[0]["honest"]
    draws = [name("mlp", "draws"), CONV]
    others = [name("slides", method) for method in ("pseudo_gibbs", "importance", "refit")]
    assert honest["missing"] == others + draws
    assert honest["grey"] == draws
    assert honest["drawing"] == 7
    assert (honest["least"], honest["most"]) == (0.8699, 0.9301)
    # One model that is wrong, or one mask that is not there, and nobody is honest.
    for wrong in (
        changed(tried, 0.5, model="t", **coverage),
        kept(tried, "metric != 'coverage_0.9' or mechanism != 'square'"),
    ):
        assert not honesty(wrong.scores)["missing"].any()
        assert "honest" not in set(choices(wrong)["want"])


@pytest.mark.parametrize(
    ("zeros", "row"),
    [
        (0.96, [CONV, "–", "96.00", "98.87", "99.00", "96"]),
        # Where zeros cost nothing, nothing can be made good.
        (0.995, ["zeros", "–", "99.50", "99.50", "99.00", "–"]),
    ],
)
def test_whether_the_digit_is_kept(few, zeros, row):
    found = pages(changed(few, zeros, metric="accuracy", method="zero", mechanism="random"))[0]
    assert found["digit"].iloc[0].tolist() == ["random pixels", *row]


# Gaussian or t, and targets


def test_one_seed_cannot_tell_gaussian_from_t(tried):
    names = {"model": "t", "metric": "mse", "method": "refit", "region": "image"}
    latents = imputers(changed(tried, lambda mse: 1.25 * mse, **names))["latents"]
    assert latents["n"] == 2 * (len(ERRORS) - len(BASELINES))
    assert latents["told"] == 0
    assert (latents["low"], latents["high"]) == pytest.approx((0, 0.25), abs=1e-5)


@pytest.mark.parametrize(("effect", "word"), [(0.1, WORSE), (-0.1, BETTER), (0.001, SAME)])
def test_gaussian_against_t_is_paired_by_seed(few, effect, word):
    shared, own = np.array([0.0, 0.3, -0.2]), np.array([0.01, -0.01, 0.0])
    rows = few.scores[few.scores["recipe"] != ""]
    rows = pd.concat([rows.assign(seed=seed) for seed in range(3)])
    at = (rows["method"] == "refit") & (rows["mechanism"] == "square")
    seed = rows["seed"].to_numpy()
    rows["value"] *= 1 + shared[seed] + (rows["model"] == "t") * (own[seed] + effect * at)
    several = few._replace(scores=rows)
    found = imputers(several)
    assert (found["seeds"], found["fewer"]) == ([0, 1, 2], {})
    latents = found["latents"]
    n = latents["n"] - (word != SAME)
    assert latents["counts"] == {BETTER: 0, WORSE: 0, UNKNOWN: 0} | {word: 1} | {SAME: n}
    low, high = stats.t.interval(0.95, 2, loc=effect + own.mean(), scale=stats.sem(own))
    ends = [f"{100 * end / (1 + shared.mean()):+.1f} %".replace("-", "−") for end in (low, high)]
    row = latents["tables"]["error: MSE"].set_index(["imputer", "missing"]).loc[REFIT, "a square"]
    assert row["seeds"] == "3"
    assert row["t − Gaussian"].endswith(f"[{', '.join(ends)}]")
    assert row["t prior is"] == word
    # Each score is told by its own direction: what the t multiplies, SSIM and coverage too.
    summary = latents["summary"].set_index("compared")
    assert summary.loc["error: MSE", word] == ("1" if word != SAME else str(latents["n"]))
    opposite = {BETTER: WORSE, WORSE: BETTER, SAME: SAME}[word]
    assert summary.loc["structure: SSIM, 7 × 7", opposite] == summary.loc["error: MSE", word]
    assert latents["pairs"] == summary.astype(int).to_numpy().sum()
    text = pages(several)[1]
    assert "seeds 0, 1, 2" in text
    assert "imputation/figures/latents.png" in text


@pytest.mark.parametrize("effect", [0, 0.1])
def test_pairs_of_a_single_seed_are_not_passed_over(few, effect):
    rows = few.scores[few.scores["recipe"] != ""]
    worse = rows["value"] * (1 + effect * (rows["model"] == "t"))
    again = rows.assign(value=1.1 * worse, seed=1)[rows["recipe"] == "slides"]
    several = few._replace(scores=pd.concat([rows.assign(value=worse, seed=0), again]))
    latents = imputers(several)["latents"]
    assert 0 < latents["told"] < latents["n"]
    text = pages(several)[1]
    assert f"; of {latents['n'] - latents['told']} more a single seed cannot tell." in text


def test_of_coverage_the_distance_from_what_was_promised_is_compared(few):
    covers = {("gauss", 0): 0.88, ("gauss", 1): 0.93, ("t", 0): 0.91, ("t", 1): 0.92}
    rows = COVERAGE.of(few.scores).query("imputer == @CONV and mechanism == 'square'")
    rows = pd.concat([rows.assign(seed=seed) for seed in range(2)])
    rows["value"] = [covers[row.model, row.seed] for row in rows.itertuples()]
    (found,) = latents(rows).itertuples()
    assert (found.reference, found.other) == (pytest.approx(2.5), pytest.approx(1.5))
    assert (found.low, found.high) == pytest.approx((-1, -1))
    assert (found.metric, found.n, found.verdict) == ("miss", 2, BETTER)


def test_recipes_with_fewer_seeds_have_them_named(few):
    rows = pd.concat([few.scores, few.scores.query("recipe == 'slides'").assign(seed=1)])
    found, text = pages(few._replace(scores=rows))
    assert found["imputers"]["seeds"] == [0, 1]
    assert found["imputers"]["fewer"] == {"`mlp`": [0], "`conv`": [0]}
    assert "models of seeds 0, 1, of `mlp` seed 0, of `conv` seed 0." in text
    # One seed of some cannot tell; it does not keep the others from telling.
    counts = found["imputers"]["latents"]["counts"]
    assert counts == {BETTER: 0, WORSE: 0, SAME: 4, UNKNOWN: 6}
    assert found["imputers"]["latents"]["told"] == 4


def test_targets_are_held_against_the_best_of_each_group(few, plain):
    words = plain[0]["targets"]["verdict"].tolist()
    assert words == ["met", "missed", "met", "met", "met", "met", "met", "met"]
    found = few
    for value, names in (
        (0.00441, {"method": "refit", "metric": "mse", "mechanism": "random", "model": "t"}),
        (0.0070, {"method": "gaussian", "metric": "mse", "mechanism": "square"}),
        (0.9, {"recipe": "conv", "metric": "ssim", "mechanism": "square"}),
        (0.89, {"recipe": "mlp", "metric": "ssim", "mechanism": "square"}),
    ):
        found = changed(found, value, **names)
    targets = pages(found)[0]["targets"]
    assert targets["verdict"].tolist() == [
        "met by the Gaussian alone", "missed", "met", "met", "met", "missed", "met", "missed",
    ]  # fmt: skip
    assert targets["Gaussian / t"][5] == "0.9000 / 0.9000"
    assert targets["best"][0] == REFIT
    # They are about MNIST alone.
    found, text = pages(few, dataset="digits")
    assert found["targets"].empty
    assert "target" not in text


# Tables


def test_cells_by_hand(plain):
    found, _ = plain
    table = found["scores"]["random pixels"].set_index(["imputer", "latent"])
    assert table.loc[("zeros", "–"), ["MSE", "CRPS"]].tolist() == ["0.03000", "–"]
    refit = table.loc[REFIT, "t prior"]
    assert refit["90 % covers, grey, %"] == "**81.0**"
    assert refit[["flagged, %", "inside, ends included, %"]].tolist() == ["2.0", "95.0"]
    conv = table.loc[(CONV, "t prior"), ["SSIM, global", "CRPS"]]
    assert conv.tolist() == ["**0.9907**", "**0.0013**"]
    assert table.loc[("*the complete image*", "–"), "right digit, %"] == "99.00"
    others = found["degradation"]["others"]
    assert list(others) == ["imputer", "latent", "top half", "MAR", "MNAR"]
    assert others.iloc[0].tolist() == ["zeros", "–", "0.09000", "0.09000", "0.09000"]
    assert others.iloc[-1, 2:].tolist() == ["**0.00399**"] * 3
    curve = found["degradation"]["random pixels"].set_index(["imputer", "latent"])
    assert list(curve) == [f"{percent} %" for percent in range(10, 100, 10)]
    assert curve.loc[(CONV, "t prior"), "90 %"] == f"**{0.00133 * 10:.5f}**"


def test_rubin_counts_by_hand(few):
    rows = few.rubin.copy()
    # Digit 0 has 0.1 of ink: this interval of the means holds it, that of the draws does not.
    rows.loc[[2, 3], ["low", "high"]] = [[0.099, 0.107], [0.101, 0.105]]
    rubin = pages(few._replace(rubin=rows))[0]["rubin"]
    assert rubin["counts"].iloc[:, 1].tolist() == ["0 of 10", "1 of 10", "9 of 10"]
    assert rubin["table"].iloc[0, 1] == "0.1000 [0.0980, 0.1020]"


def test_the_spread_of_draws_by_hand(few):
    tiles = sheet(0)
    one, two = tiles.copy(), tiles.copy()
    one[:, 3:] = tiles[:, 2:3]  # six times the imputation
    # 100 in every other draw and 140 in the others, where pixels are missing.
    shade = np.array([100, 140] * 3, np.uint8)[None, :, None, None]
    two[:, 3:] = np.where(tiles[:, None, 1] > 0, shade, tiles[:, 3:])
    draws = {("mlp", "gauss", 0): one, ("mlp", "t", 0): two, ("mlp", "gauss", 1): two}
    table = pages(few._replace(draws=draws))[0]["draws"]["table"]
    assert table["grey levels"].tolist() == ["10.0 (0.0 to 20.0)", "20.0"]
    assert table["seeds"].tolist() == ["2", "1"]


def test_a_model_whose_code_carries_nothing_is_named_and_marked(few):
    least = 0.1 * np.log(2)
    kls = {("mlp", "t", 0): 0.999 * least, ("conv", "gauss", 0): 1.001 * least}
    found, text = pages(few, kls)
    assert found["lost"]["names"] == ["`mlp` (t prior, seed 0)"]
    assert "**The code carries nothing** in `mlp` (t prior, seed 0): less than 0.1 bits" in text
    mlp = name("mlp", "draws")
    for table in (*found["scores"].values(), *found["degradation"].values()):
        marked = table[table["latent"].str.endswith("†")]
        assert marked[["imputer", "latent"]].to_numpy().tolist() == [[mlp, "t prior †"]]
    assert found["draws"]["table"]["latent"].tolist().count("t prior †") == 1
    for table in found["latents"].values():
        assert set(table["imputer"][table["imputer"].str.endswith("†")]) == {f"{mlp} †"}
    assert "†" not in pages(few)[1]


def test_methods_of_former_runs_are_shown_apart(tmp_path):
    found, text = pages(loaded(tmp_path, among=FEW, left=LEFT_OUT))
    left = found["left_out"]
    iterated, importance = (name(*key) for key in LEFT_OUT)
    assert left["table"]["imputer"].tolist() == [iterated] * 2 + [importance] * 2
    assert left["table"].iloc[2].tolist() == [
        importance, "random pixels", "0.00450 / 0.00450", "90.0 / 90.0", "2.0 / 2.0",
        f"{duration(SECONDS[LEFT_OUT[1]])} / {duration(SECONDS[LEFT_OUT[1]])}",
    ]  # fmt: skip
    assert left["table"].iloc[0, 3:5].tolist() == ["–", "–"]
    before, after = text.split("## What was tried and left out")
    assert importance not in before
    assert (
        "models of seed 0 they imputed 900 test images; coverage is that of the first 100" in after
    )
    assert "-S 'infer.methods=[map,iterated]' imputation" in after
    assert "- importance sampling" not in before
    assert "  - importance sampling: codes drawn" in after


# The page

KEPT = [
    "recipe != ''", "recipe != 'slides'", "recipe not in ('mlp', 'conv')", "recipe == ''",
    "model != 't'", "mechanism != 'square'", "metric != 'mse'",
    "not metric.str.startswith('coverage')", "region != 'grey'", "metric != 'accuracy'",
    "metric != 'ssim'", "method != 'zero'",
]  # fmt: skip
FILES = ("timings", "degradation", "rubin", "draws")


@pytest.mark.parametrize(
    ("rows", "without"),
    [*product(KEPT, [()]), ("", FILES), ("", ("timings",)), ("metric != 'mse'", FILES)],
)
def test_whatever_is_missing_the_page_comes_out(few, tmp_path, rows, without):
    tried = loaded(tmp_path, without=without, among=FEW) if without else few
    tried = kept(tried, rows)
    text = pages(tried)[1]
    shown = set(re.findall(r"\(imputation/figures/(\w+)\.png\)", text))
    assert shown == set(planned(tried))
    assert not re.search(r"\bnan\b|None|\(\)|\*\*\*\*|[:;,] ?[.;]", text)


def test_the_page_depends_on_the_results_alone(tmp_path):
    rows = score_rows(seeds=(0, 1), among=FEW)
    text = pages(loaded(tmp_path / "a", scores=rows))[1]
    assert pages(loaded(tmp_path / "b", scores=rows[::-1]))[1] == text
    assert text.index("# Which") < text.index("| you want") < text.index("quality_time.png")
    assert len(text[: text.index("\n## ")].splitlines()) <= 25
    for number in (
        "the first 1,000 of 10,000 test images:",
        "; 30 %",
        "12 × 12",
        "1,000 images, 2 threads, device cpu",
    ):
        assert number in text
    assert "| `conv` | cpu" in text.replace("  ", "")
