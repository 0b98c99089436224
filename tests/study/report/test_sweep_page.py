import re
from dataclasses import replace
from itertools import product
from math import inf

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from scipy import stats

from stages import sweep as stage
from study.report.figures.style import to_png
from study.report.figures.sweep import curve, draw, tails
from study.report.sweep_page import CAPTIONS, equivalent_weight, findings, render, tail_reach
from study.slides import SLIDES, Cell
from study.trials.sweep import (
    METRICS,
    Experiment,
    Run,
    Sweep,
    SweepParams,
    load_plan,
    prior_quantile,
    save_runs,
)

PARAMS = SweepParams(
    dataset="mnist",
    df=21,
    joint="product",
    kl="monte_carlo",
    likelihood="bernoulli",
    kl_weight=1.0,
    seeds=[0, 1, 2, 3],
)
TRACKED = load_plan(ROOT / "sweep.yaml", PARAMS)
GAUSS, T = TRACKED.defaults.gaussian, TRACKED.defaults
VARIANTS = [
    T._replace(df=df, **{field: value})
    for field, value in (("kl", "quadrature"), ("joint", "multivariate"))
    for df in (5.0, 21.0)
]
PLAN = TRACKED._replace(experiments=tuple(dict.fromkeys([*TRACKED.experiments, *VARIANTS])))
LEVELS = {"mse": 0.02, "ssim_global": 0.8, "ssim": 0.7}
PROBABILITIES = (0.001, 0.05, 0.5, 0.95, 0.999)

# Per seed, common to all experiments; and what is each experiment's own, of mean 0 over seeds.
SEED = np.array([0.0, 2.0, -1.0, 0.5])
OWN = np.array([0.1, -0.1, 0.1, -0.1])


def sweep_of(effect=lambda experiment, metric: 0.0, own=1.0, n_seeds=4, plan=PLAN):
    """A sweep in which `effect` is added in nats to bounds, and to errors as a share."""
    runs = {}
    for experiment, seed in product(plan.experiments, range(n_seeds)):
        noise = 0.0 if experiment == GAUSS else own * OWN[seed]
        values = {
            name: level + SEED[seed] + noise + effect(experiment, name)
            for name, level in (("elbo", -100.0), ("log_likelihood", -97.0))
        }
        values |= {"reconstruction": -77.0, "kl_nats": 24.0, "ess": 20.0}
        values |= {"active": 9.0, "dead_units": 30.0}
        for metric, mechanism, output in product(
            METRICS, ("random", "square"), ("prediction", "imputation")
        ):
            name = f"{metric}/{mechanism}/{output}"
            share = 0.02 * SEED[seed] + 0.01 * noise + effect(experiment, name)
            values[name] = LEVELS[metric] * (1 + share)
        values |= {f"kl/{coordinate}": 3.0 - coordinate + 0.1 * seed for coordinate in range(3)}
        quantiles = 0.5 * prior_quantile(experiment, PROBABILITIES)
        values |= {f"quantile/{p:g}": q for p, q in zip(PROBABILITIES, quantiles, strict=True)}
        runs[experiment, seed] = values
    return Sweep("mnist", plan, tuple(range(n_seeds)), runs)


def without(sweep, drop):
    return replace(sweep, runs={key: v for key, v in sweep.runs.items() if not drop(*key)})


def about(topic, sentences):
    (found,) = (sentence for sentence in sentences if sentence.startswith(f"**{topic}"))
    return found


def test_no_effect_no_direction():
    text = " ".join(findings(sweep_of()))
    assert "better" not in text
    assert "worse" not in text
    assert "no difference found at df = 3, df = 5, df = 10, df = 21, df = 50" in text
    assert "27 intervals, of which 0 exclude 0" not in text
    # 5 df and the control, 2 df each by quadrature and multivariate, one other likelihood.
    assert f"{(5 + 1 + 2 + 2 + 1) * 3} intervals, of which 0 exclude 0" in text


def test_planted_effects_are_found_where_they_are_and_nowhere_else():
    def effect(experiment, metric):
        if experiment == T._replace(df=5.0):
            return {"elbo": -2.0, "mse/square/imputation": -0.05}.get(metric, 0.0)
        return 0.0

    sentences = findings(sweep_of(effect))
    elbo = about("Test ELBO", sentences)
    low, high = stats.t.interval(0.95, 3, loc=-2, scale=stats.sem(OWN))
    size = f"(−2.00 [{low:.2f}, {high:.2f}] nats)".replace("-", "−")
    assert f"worse at df = 5 {size}; no difference found at df = 3, df = 10" in elbo
    assert "better at df = 5 (−" in about("Imputation MSE of a square", sentences)
    assert "better" not in about("Imputation MSE of random pixels", sentences)
    # The product at df = 5 is also what quadrature and the multivariate t are held to.
    assert "better: test ELBO at df = 5 (+2.00" in about("KL by quadrature", sentences)
    assert "better: test ELBO at df = 5 (+2.00" in about("Multivariate", sentences)
    assert "33 intervals, of which 6 exclude 0" in sentences[-1]


@pytest.mark.parametrize(
    ("field", "value", "topic"),
    [
        ("kl", "quadrature", "KL by quadrature against Monte Carlo KL"),
        ("joint", "multivariate", "Multivariate against product"),
        ("likelihood", "continuous_bernoulli", "Likelihood continuous Bernoulli"),
    ],
)
def test_each_variant_has_its_own_sentence(field, value, topic):
    changed = T._replace(**{field: value})

    def effect(experiment, metric):
        return 3.0 if experiment == changed and "elbo log_likelihood".count(metric) else 0.0

    sentences = findings(sweep_of(effect))
    bound = "log-likelihood" if field == "likelihood" else "ELBO"
    assert f"better: test {bound} at df = 21 (+3.00" in about(topic, sentences)
    assert " ".join(sentences).count("better") == 1


def test_the_control_is_judged():
    assert "no difference found" in about("Control", findings(sweep_of()))
    exact = about("Control", findings(sweep_of(own=0.0)))
    assert "the very same numbers" in exact

    def effect(experiment, metric):
        return 0.03 if experiment.df == inf and metric == "mse/random/imputation" else 0.0

    off = about("Control", findings(sweep_of(effect)))
    assert "worse: imputation MSE of random pixels" in off
    assert "or chance, makes differences" in off


def test_seeds_change_every_sentence():
    # Seeds 0 and 1 see an effect, the others its opposite.
    def elbo_of(*seeds):
        sweep = sweep_of()
        for (experiment, seed), values in sweep.runs.items():
            if experiment == T._replace(df=3.0):
                values["elbo"] += 5.0 if seed < 2 else -5.0
        kept = without(sweep, lambda _, seed: seed not in seeds)
        return about("Test ELBO", findings(replace(kept, seeds=seeds)))

    assert "better at df = 3" in elbo_of(0, 1)
    assert "worse at df = 3" in elbo_of(2, 3)
    assert "no difference found at df = 3" in elbo_of(0, 1, 2, 3)


def test_one_seed_tells_nothing_and_says_why():
    sweep = sweep_of(n_seeds=1)
    sentences = findings(sweep)
    assert "cannot be told at df = 3, df = 5" in about("Test ELBO", sentences)
    assert "One seed gives no interval" in sentences[-1]
    page = render(sweep, {}, slides=True)
    assert "±" not in page
    assert "nan" not in page


def test_missing_runs_are_named_and_comparisons_use_common_seeds():
    low = T._replace(df=3.0)
    gone = {(low, 1), (low, 2), (low, 3), (GAUSS, 3)}
    sweep = without(sweep_of(), lambda *run: run in gone)
    elbo = about("Test ELBO", findings(sweep))
    assert "cannot be told at df = 3 with seed 0 only" in elbo
    assert "df = 5 with seeds 0, 1, 2 only" in elbo
    page = render(sweep, {}, slides=True)
    assert "- Gaussian: seed 3 (`gauss-s3`)" in page
    assert "- t, df = 3: seeds 1, 2, 3 (`t-df3-s1`, `t-df3-s2`, `t-df3-s3`)" in page
    assert "dvc queue logs" in page
    assert "None: every experiment" in render(sweep_of(), {}, slides=True)


@pytest.mark.parametrize(
    "drop",
    [
        lambda experiment, seed: experiment.model == "gauss",
        lambda experiment, seed: experiment == GAUSS,
        lambda experiment, seed: experiment.model == "t",
        lambda experiment, seed: experiment.df != inf,
        lambda experiment, seed: seed % 2 == (experiment.model == "t"),
        lambda experiment, seed: seed > 0,
    ],
    ids=["no gaussian", "no baseline", "no t", "control alone", "no common seed", "one seed"],
)
def test_whatever_is_missing_the_page_comes_out(drop):
    sweep = without(sweep_of(), drop)
    figures = draw(sweep, slides=True)
    page = render(sweep, figures, slides=True)
    assert "nan" not in page
    assert set(re.findall(r"sweep/(\w+)\.png", page)) == set(figures)


def test_without_a_result_the_page_says_how_to_run():
    empty = replace(sweep_of(), runs={}, dataset="digits")
    assert draw(empty, slides=False) == {}
    page = render(empty, {}, slides=False)
    assert "No experiment of the plan has a result on `digits`" in page
    assert "make sweep" in page


# The KL weight


@pytest.mark.parametrize(
    ("claim", "weight"),
    [(-0.05, 0.75), (-0.1, 0.5), (-0.15, 0.25), (0.0, 1.0), (-0.16, None), (0.01, None)],
)
def test_equivalent_weight_by_hand(claim, weight):
    assert equivalent_weight([0.25, 0.5, 1.0], [-0.15, -0.1, 0.0], claim, 1.0) == (
        None if weight is None else pytest.approx(weight)
    )


def test_of_several_equivalent_weights_the_nearest_to_the_usual_counts():
    weights, changes = [0.2, 0.4, 0.6, 1.0], [0.0, -0.2, -0.1, 0.0]
    assert equivalent_weight(weights, changes, -0.1, 1.0) == pytest.approx(0.6)
    assert equivalent_weight(weights, changes, -0.1, 0.2) == pytest.approx(0.3)


def claim(mechanism, output):
    models = SLIDES[Cell(mechanism, output, "mse")]
    return models["t"] / models["gauss"] - 1


def test_the_weight_that_does_what_the_slides_claim():
    # A straight line through the baseline that reaches the claim at 0.6 for one cell, and
    # never for the others.
    target = claim("random", "imputation")

    def effect(experiment, metric):
        share = (1 - experiment.kl_weight) / 0.4 * target if experiment.model == "gauss" else 0.0
        return share if metric == "mse/random/imputation" else 0.0

    sentence = about("KL weight", findings(sweep_of(effect, own=0.0)))
    named = f"{100 * target:+.1f}".replace("-", "−")
    assert f"at β = 0.60 for imputation MSE of random pixels ({named} %)" in sentence
    assert "None of the β tried gives it for prediction MSE of random pixels" in sentence
    assert "imputation MSE of a square (slides −9.0 %, here 0.0 %" in sentence
    # Beside other data the slides' claims mean nothing.
    others = findings(sweep_of(effect), slides=False)
    assert not any(sentence.startswith("**KL weight") for sentence in others)


# Tails


@pytest.mark.parametrize("experiment", [GAUSS, T._replace(df=3.0)], ids=["gauss", "t"])
def test_tail_reach_is_half_the_distance_between_the_outermost_quantiles(experiment):
    probability, prior, reach = tail_reach(sweep_of(), experiment)
    assert probability == 0.001
    df = inf if experiment.df is None else experiment.df
    assert prior == pytest.approx(stats.t.ppf(0.999, df))
    assert reach.mean == pytest.approx(prior / 2)
    assert "50 % (t, df = 3)" in render(sweep_of(), {}, slides=True)


# Figures and the stage


def test_figures_have_captions_and_labels_and_the_same_bytes_twice():
    figures = draw(sweep_of(), slides=True)
    assert set(figures) == set(CAPTIONS)
    for name, figure in figures.items():
        assert all(ax.get_xlabel() for ax in figure.axes if ax.get_visible()), name
    assert to_png(tails(sweep_of())) == to_png(tails(sweep_of()))


def test_the_curve_shows_means_intervals_and_the_gaussian_band():
    def effect(experiment, metric):
        return -30 / experiment.df if metric == "elbo" and experiment.df else 0.0

    ax = curve(sweep_of(effect)).axes[0]
    (line,) = (line for line in ax.get_lines() if len(line.get_xdata()) == 6)
    np.testing.assert_allclose(
        line.get_ydata(), -100 + SEED.mean() - 30 / np.array([3, 5, 10, 21, 50, inf])
    )
    assert [text.get_text() for text in ax.get_xticklabels()] == ["3", "5", "10", "21", "50", "∞"]
    (band,) = ax.patches
    low, high = stats.t.interval(0.95, 3, loc=-100 + SEED.mean(), scale=stats.sem(SEED))
    assert band.get_y() == pytest.approx(low)
    assert band.get_y() + band.get_height() == pytest.approx(high)


def test_stage_writes_the_page_and_the_figures_that_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fields = PARAMS.model_dump()
    (tmp_path / "params.yaml").write_text("\n".join(f"{k}: {v}" for k, v in fields.items()))
    runs = {
        Run("mnist", PLAN.recipe, Experiment(*experiment), seed): values
        for (experiment, seed), values in sweep_of().runs.items()
    }
    save_runs("reports/sweep.csv", runs)
    arguments = [
        "--sweep", "reports/sweep.csv", "--plan", str(ROOT / "sweep.yaml"),
        "--page", "reports/sweep.md", "--figures", "reports/sweep",
    ]  # fmt: skip
    stage.main(arguments)
    page = (tmp_path / "reports" / "sweep.md").read_text()
    links = re.findall(r"!\[.*\]\((.*)\)", page)
    assert len(links) == len(CAPTIONS)
    for link in links:
        with Image.open(tmp_path / "reports" / link) as image:
            assert image.width >= 1000
    assert str(tmp_path) not in page

    (tmp_path / "params.yaml").write_text(
        (tmp_path / "params.yaml").read_text().replace("mnist", "digits")
    )
    stage.main(arguments)
    assert "No experiment" in (tmp_path / "reports" / "sweep.md").read_text()
