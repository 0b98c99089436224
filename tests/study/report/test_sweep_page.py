"""The sweep's page: which comparisons it makes, and what it makes of them."""

import re
from itertools import product
from math import inf

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from scipy import stats

from stages import sweep as stage
from study.report.experiments import METRICS, label, prior_quantile, read_sweep
from study.report.figures.sweep import curve, draw
from study.report.formats import NONE
from study.report.pages.sweep import compared, equivalent_weight, findings, looks, page
from study.report.render import render
from study.report.verdicts import BETTER, SAME, UNKNOWN, WORSE
from study.slides import SLIDES, Cell
from study.trials.sweep import SWEEP, Run, SweepParams, load_plan, save_runs
from vaefill.errors import InputError

PARAMS = SweepParams(
    dataset="mnist", df=21, joint="product", kl="monte_carlo", likelihood="bernoulli",
    kl_weight=1.0, seeds=[0, 1, 2, 3],
)  # fmt: skip
TRACKED = load_plan(ROOT / "sweep.yaml", PARAMS)
T = TRACKED.defaults
GAUSS = T.gaussian
MORE = product([T._replace(kl="quadrature"), T._replace(joint="multivariate")], (5.0, 21.0))
VARIANTS = [e._replace(df=df) for e, df in MORE]
PLAN = TRACKED._replace(experiments=tuple(dict.fromkeys([*TRACKED.experiments, *VARIANTS])))
# 5 df and the control, 2 df each by quadrature and multivariate, one other likelihood.
N_LOOKS = 3 * (5 + 1 + 2 + 2 + 1)
LEVELS = {"elbo": -100.0, "log_likelihood": -97.0, "kl_nats": 24.0, "active": 9, "dead_units": 30}
SHARES = {"mse": 0.02, "ssim_global": 0.8}
PROBABILITIES = (0.001, 0.05, 0.5, 0.95, 0.999)
# Per seed, common to all experiments; and what is each experiment's own, of mean 0 over seeds.
SEED = np.array([0.0, 2.0, -1.0, 0.5])
OWN = np.array([0.1, -0.1, 0.1, -0.1])
IMPUTED, SQUARE = "mse/random/imputation", "mse/square/imputation"


def values_of(experiment, seed, effect=lambda *_: 0.0, own=1.0):
    """Numbers of a run; `effect` is added in nats to bounds, and to errors as a share."""
    noise = 0.0 if experiment == GAUSS else own * OWN[seed]
    values = {f"kl/{coordinate}": 3.0 - coordinate + 0.1 * seed for coordinate in range(3)}
    for name in METRICS:
        change, level = effect(experiment, name), SHARES.get(name.partition("/")[0])
        if level:
            values[name] = level * (1 + 0.02 * SEED[seed] + 0.01 * noise + change)
        else:
            shared = SEED[seed] + noise if LEVELS[name] < 0 else 0.0
            values[name] = LEVELS[name] + shared + change
    df = inf if experiment.df is None else experiment.df
    quantiles = zip(PROBABILITIES, 0.5 * stats.t.ppf(PROBABILITIES, df), strict=True)
    return values | {f"quantile/{p:g}": quantile for p, quantile in quantiles}


@pytest.fixture
def sweep_of(tmp_path):
    """Make a sweep of synthetic runs, but for those to `drop`; the rest is for `values_of`."""

    def make(*effect, seeds=range(4), drop=lambda *_: False, plan=PLAN, **own):
        runs = {
            Run("mnist", plan.recipe, e, seed): values_of(e, seed, *effect, **own)
            for e, seed in product(plan.experiments, seeds)
            if not drop(e, seed)
        }
        save_runs(tmp_path / "sweep.csv", runs, SWEEP)
        return read_sweep(tmp_path / "sweep.csv", plan, dataset="mnist", seeds=list(seeds))

    return make


def planted(where, metric, size):
    return lambda e, name: size * (e == where and name == metric)


def directions(sweep):
    found = looks(compared(sweep))
    found = found[found["verdict"].isin([BETTER, WORSE])]
    return set(found[["topic", "place", "metric", "verdict"]].itertuples(index=False, name=None))


def text_of(sweep, figures=("curve", "differences"), slides=True):
    text = render("sweep.md.j2", page(sweep, figures, slides=slides))
    assert "nan" not in text
    assert sorted(re.findall(r"sweep/(\w+)\.png", text)) == sorted(figures)
    return text


def test_no_effect_no_direction(sweep_of):
    sweep = sweep_of()
    assert set(looks(compared(sweep))["verdict"]) == {SAME}
    found = page(sweep, (), slides=True)
    assert (found["findings"][[BETTER, WORSE]] == NONE).all(axis=None)
    assert (found["told"], found["excluding"], found["identical"]) == (N_LOOKS, 0, False)
    assert page(sweep_of(own=0.0), (), slides=True)["identical"]


@pytest.mark.parametrize(
    ("where", "metric", "size", "expected"),
    [
        # The product at df = 5 is also what quadrature and the multivariate t are held to.
        (T._replace(df=5.0), "elbo", -2, {
            ("curve", "df = 5", WORSE), ("kl", "df = 5", BETTER), ("joint", "df = 5", BETTER),
        }),
        (T._replace(df=50.0), SQUARE, -0.05, {("curve", "df = 50", BETTER)}),
        (T._replace(df=inf), IMPUTED, 0.03, {("control", "df = ∞", WORSE)}),
        (T._replace(kl="quadrature"), "elbo", 3, {("kl", "df = 21", BETTER)}),
        (T._replace(joint="multivariate"), SQUARE, 0.05, {("joint", "df = 21", WORSE)}),
        (T._replace(likelihood="continuous_bernoulli"), "log_likelihood", 3,
         {("likelihood", "continuous Bernoulli, df = 21", BETTER)}),
        (T._replace(likelihood="continuous_bernoulli"), "elbo", 3, set()),
    ],
)  # fmt: skip
def test_planted_effects_are_found_where_they_are_alone(sweep_of, where, metric, size, expected):
    found = directions(sweep_of(planted(where, metric, size)))
    assert found == {(topic, at, metric, word) for topic, at, word in expected}


def test_sizes_are_those_of_the_paired_t_test(sweep_of):
    found = page(sweep_of(planted(T._replace(df=5.0), "elbo", -2)), (), slides=True)
    low, high = stats.t.interval(0.95, 3, loc=-2, scale=stats.sem(OWN))
    size = f"−2.00 [{low:.2f}, {high:.2f}]".replace("-", "−")
    assert found["findings"][WORSE][0] == f"df = 5 ({size} nats)"
    assert found["differences"]["curve"]["test ELBO"][1] == f"**{size}**"
    assert (found["told"], found["excluding"]) == (N_LOOKS, 3)


@pytest.mark.parametrize(
    ("metric", "size", "first"),
    [
        ("elbo", -2, "the test ELBO is worse than the Gaussian's at df = 3, and"),
        ("elbo", 2, "better than the Gaussian at some df and worse at none"),
        (IMPUTED, 0.05, "worse than the Gaussian at some df and better at none"),
        (IMPUTED, 0, "At no finite df"),
    ],
)
def test_the_page_begins_with_the_answer(sweep_of, metric, size, first):
    assert first in text_of(sweep_of(planted(T._replace(df=3.0), metric, size))).splitlines()[2]


def test_seeds_change_every_verdict(sweep_of):
    # Seeds 0 and 1 see an effect, the others its opposite.
    def verdict(seeds):
        sweep = sweep_of()
        runs = sweep.runs[sweep.runs["seed"].isin(seeds)].copy()
        at = (runs["experiment"] == "t, df = 3") & (runs["metric"] == "elbo")
        runs.loc[at, "value"] += np.where(runs["seed"] < 2, 5, -5)[at]
        return directions(sweep._replace(seeds=seeds, runs=runs))

    assert verdict((0, 1)) == {("curve", "df = 3", "elbo", BETTER)}
    assert verdict((2, 3)) == {("curve", "df = 3", "elbo", WORSE)}
    assert verdict((0, 1, 2, 3)) == set()


def test_one_seed_tells_nothing_and_says_why(sweep_of):
    sweep = sweep_of(seeds=[0])
    table = findings(sweep, slides=False)
    assert (table[[BETTER, WORSE, SAME]] == NONE).all(axis=None)
    assert "df = 3; df = 5; df = 10" in table[UNKNOWN][0]
    text = text_of(sweep)
    assert "One seed gives no interval" in text
    assert "±" not in text


def test_missing_runs_are_named_and_comparisons_use_common_seeds(sweep_of):
    low = T._replace(df=3.0)
    gone = {(low, 1), (low, 2), (low, 3), (GAUSS, 3)}
    sweep = sweep_of(drop=lambda *run: run in gone)
    elbo = findings(sweep).iloc[0]
    assert elbo[UNKNOWN] == "df = 3 with seed 0 only"
    assert elbo[SAME].startswith("df = 5 with seeds 0, 1, 2 only; df = 10 with seeds 0, 1, 2 only")
    assert page(sweep, (), slides=True)["missing"] == [
        {"name": "Gaussian", "seeds": [3], "runs": ["gauss-s3"]},
        {"name": "t, df = 3", "seeds": [1, 2, 3], "runs": ["t-df3-s1", "t-df3-s2", "t-df3-s3"]},
    ]
    assert "- t, df = 3: seeds 1, 2, 3 (`t-df3-s1`, `t-df3-s2`, `t-df3-s3`)" in text_of(sweep)


@pytest.mark.parametrize(
    ("plan", "drop"),
    [
        (PLAN, lambda e, seed: e.model == "gauss"),
        (PLAN, lambda e, seed: e == GAUSS),
        (PLAN, lambda e, seed: e.model == "t"),
        (PLAN, lambda e, seed: e.df != inf),
        (PLAN, lambda e, seed: seed % 2 == (e.model == "t")),
        (PLAN._replace(experiments=(GAUSS, T._replace(kl="quadrature"))), lambda *_: False),
        (PLAN._replace(experiments=(T,)), lambda *_: False),
    ],
)
def test_whatever_is_missing_the_page_comes_out(sweep_of, plan, drop):
    sweep = sweep_of(plan=plan, drop=drop)
    complete = "None: every experiment of the plan" in text_of(sweep, draw(sweep, slides=True))
    assert complete == (plan != PLAN)


RISING = [0.25, 0.5, 1.0], [-0.15, -0.1, 0.0]
TWICE = [0.2, 0.4, 0.6, 1.0], [0.0, -0.2, -0.1, 0.0]


@pytest.mark.parametrize(
    ("tried", "claim", "start", "weight"),
    [
        (RISING, -0.05, 1, 0.75), (RISING, -0.1, 1, 0.5), (RISING, -0.15, 1, 0.25),
        (RISING, 0, 1, 1), (RISING, -0.16, 1, np.nan), (RISING, 0.01, 1, np.nan),
        (TWICE, -0.1, 1, 0.6), (TWICE, -0.1, 0.2, 0.3),
    ],
)  # fmt: skip
def test_equivalent_weight_by_hand(tried, claim, start, weight):
    assert equivalent_weight(*tried, claim, start) == pytest.approx(weight, nan_ok=True)


def test_the_weight_that_does_what_the_slides_claim(sweep_of):
    # A straight line through the baseline that reaches the claim at 0.6, of one cell alone.
    claims = SLIDES[Cell("random", "imputation", "mse")]
    target = claims["t"] / claims["gauss"] - 1

    def effect(e, metric):
        return (1 - e.kl_weight) / 0.4 * target if (e.model, metric) == ("gauss", IMPUTED) else 0.0

    sweep = sweep_of(effect, own=0.0)
    found = page(sweep, (), slides=True)
    *_, last = found["findings"].itertuples(index=False)
    assert last[1] == "imputation MSE of random pixels at β = 0.60"
    assert last[3].count("MSE") == last[3].count("at no β tried") == 3
    share = f"{100 * target:.1f} %".replace("-", "−")
    table = found["equivalents"].set_index("").loc["imputation MSE of random pixels"]
    assert table.tolist() == [share, table["lowest here"], "0.25", "0.60"]
    # Beside other data the slides' claims mean nothing.
    assert len(findings(sweep, slides=False)) == len(found["findings"]) - 1
    assert "slides" not in text_of(sweep, slides=False)


def test_tails_reach_half_as_far_as_those_of_the_prior(sweep_of):
    np.testing.assert_array_equal(prior_quantile(3, PROBABILITIES), stats.t.ppf(PROBABILITIES, 3))
    for df in (np.nan, inf):
        np.testing.assert_allclose(prior_quantile(df, 0.001), stats.norm.ppf(0.001), rtol=1e-12)
    table = page(sweep_of(), (), slides=True)["latent"].set_index("")
    assert set(table["share of the prior's"]) == {"50 %"}
    far = [stats.norm.ppf(0.999), stats.t.ppf(0.999, 3)]
    assert table["prior at 0.1 %"].tolist()[:2] == [f"{reach:.2f}" for reach in far]


def test_the_curve_shows_means_intervals_and_the_gaussian_band(sweep_of):
    sweep = sweep_of(lambda e, metric: -30 / e.df if metric == "elbo" and e.df else 0.0)
    ax = curve(sweep.of("t"), sweep.of("gauss")).axes[0]
    (line,) = (line for line in ax.get_lines() if len(line.get_xdata()) == 6)
    means = -100 + SEED.mean() - 30 / np.array([3, 5, 10, 21, 50, inf])
    np.testing.assert_allclose(line.get_ydata(), means, rtol=1e-5)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["3", "5", "10", "21", "50", "∞"]
    (band,) = ax.patches
    low, high = stats.t.interval(0.95, 3, loc=-100 + SEED.mean(), scale=stats.sem(SEED))
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((low, high))


# The table and the stage


def test_runs_of_other_data_plans_and_seeds_do_not_count(tmp_path):
    path = tmp_path / "sweep.csv"
    assert read_sweep(path, PLAN, dataset="mnist", seeds=[0]).runs.empty
    save_runs(path, {}, SWEEP)
    assert read_sweep(path, PLAN, dataset="mnist", seeds=[0]).runs.empty
    keys = [*product(["mnist"], [GAUSS, T, T._replace(df=4.0)], [0, 2]), ("digits", GAUSS, 1)]
    save_runs(
        path, {Run(d, "converged", e, seed): values_of(e, seed) for d, e, seed in keys}, SWEEP
    )
    plan = PLAN._replace(experiments=(GAUSS, T))
    found = read_sweep(path, plan, dataset="mnist", seeds=[0, 1]).runs
    runs = found[["experiment", "seed"]].drop_duplicates()
    assert runs.values.tolist() == [[label(GAUSS), 0], [label(T), 0]]
    at = (found["experiment"] == label(T)) & (found["metric"] == "elbo")
    assert found["value"][at].tolist() == [-100 + OWN[0]]
    slower = plan._replace(recipe="fast")
    assert read_sweep(path, slower, dataset="mnist", seeds=[0]).runs.empty


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("gauss,,", "vae,,", "line 2: model 'vae' must be one of gauss, t"),
        ("active,9", "dead_units,9", "line 3: a second row for dataset 'mnist'"),
        ("0.25,0,,active,9", "0.25,9,,active,9", "Gaussian, β = 0.25 with seed 0 has no active"),
    ],
)
def test_a_broken_table_is_refused_in_one_line(sweep_of, tmp_path, before, after, message):
    sweep_of()
    path = tmp_path / "sweep.csv"
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(InputError) as error:
        read_sweep(path, PLAN, dataset="mnist", seeds=[0, 1, 2, 3])
    assert str(error.value).startswith(f"{path}: {message}")
    assert str(error.value).endswith("; `git checkout` it, or `make sweep` makes it anew")


def test_stage_writes_the_page_and_the_figures_that_it_shows(sweep_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep_of(plan=TRACKED)
    fields = "\n".join(f"{key}: {value}" for key, value in PARAMS.model_dump().items())
    (tmp_path / "params.yaml").write_text(fields)
    plan = str(ROOT / "sweep.yaml")
    arguments = f"--sweep sweep.csv --plan {plan} --page sweep.md --figures sweep".split()
    stage.main(arguments)
    text = (tmp_path / "sweep.md").read_text()
    links = re.findall(r"!\[.*\]\((.*)\)", text)
    assert len(links) == 5
    for link in links:
        with Image.open(tmp_path / link) as image:
            assert image.width >= 1000
    assert str(tmp_path) not in text

    (tmp_path / "params.yaml").write_text(fields.replace("mnist", "digits"))
    stage.main(arguments)
    text = (tmp_path / "sweep.md").read_text()
    assert "No experiment of the plan has a result on `digits`" in text
    assert "|" not in text
