import itertools
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest
import yaml
from conftest import ROOT

from study.params import read_yaml
from study.trials.sweep import (
    DIVERGED,
    FACTORS,
    SWEEP,
    Experiment,
    Run,
    SweepParams,
    Training,
    TrainingParams,
    load_plan,
    load_runs,
    load_trainings,
    read_metrics,
    save_runs,
)
from tools import sweep as tool
from vaefill.errors import InputError

PARAMS = {
    "dataset": "mnist",
    "df": 21,
    "joint": "product",
    "kl": "monte_carlo",
    "likelihood": "bernoulli",
    "kl_weight": 1.0,
    "seeds": [0, 1],
}
GAUSS = Experiment("gauss", None, None, None, "bernoulli", 1.0)
T = Experiment("t", 21.0, "product", "monte_carlo", "bernoulli", 1.0)
METRICS = {
    "seed": 0,
    "elbo.elbo": -102.5,
    "elbo.kl": 24.0,
    "elbo.reconstruction": -78.5,
    "latent.active": 9,
    "latent.dead_units.encoder.0": 30,
    "latent.dead_units.encoder.1": 2,
    "latent.dead_units.decoder.0": 1,
    "latent.kl.0": 3.0,
    "latent.kl.1": 2.5,
    "latent.quantiles.0.001": -3.1,
    "latent.quantiles.0.999": 3.2,
    "likelihood.ess": 21.5,
    "likelihood.log_likelihood": -98.0,
} | {
    f"scores.{mechanism}.single_pass.{output}.image.{metric}": value
    for mechanism, output in itertools.product(("random", "square"), ("prediction", "imputation"))
    for metric, value in (
        ("mse", 0.03 if output == "prediction" else 0.01), ("ssim", 0.8), ("ssim_global", 0.9)
    )
}  # fmt: skip


def params(**changes):
    return SweepParams(**PARAMS | changes)


def plan_of(tmp_path, text, **changes):
    path = tmp_path / "sweep.yaml"
    path.write_text(f"recipe: converged\nexperiments:\n{text}\n")
    return load_plan(path, params(**changes))


# The plan


def test_lists_are_grids_and_the_rest_is_from_the_params(tmp_path):
    plan = plan_of(tmp_path, "- {model: t, df: [3, .inf], kl: [monte_carlo, quadrature]}", df=10)
    assert plan.recipe == "converged"
    assert plan.defaults == T._replace(df=10.0)
    assert plan.experiments == tuple(
        T._replace(df=df, kl=kl)
        for df, kl in itertools.product((3.0, np.inf), ("monte_carlo", "quadrature"))
    )


def test_a_gaussian_has_no_df_and_is_planned_once(tmp_path):
    text = "- {model: [gauss, t], df: [3, 21]}\n- {model: gauss, kl: quadrature}\n- {model: t}"
    assert plan_of(tmp_path, text).experiments == (GAUSS, T._replace(df=3.0), T)


def test_tracked_plan_holds_what_the_questions_need():
    plan = load_plan(ROOT / "sweep.yaml", params())
    curve = [e.df for e in plan.experiments if e == T._replace(df=e.df)]
    assert curve == [3, 5, 10, 21, 50, np.inf]
    assert sorted(e.kl_weight for e in plan.experiments if e.gaussian == e) == [
        0.25,
        0.5,
        0.75,
        1,
        1,
    ]
    assert {e.kl for e in plan.experiments} == {None, "monte_carlo", "quadrature"}
    assert {e.joint for e in plan.experiments} == {None, "product", "multivariate"}
    assert plan.recipe in read_yaml(ROOT / "params.yaml")["train"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{model: vae}", "experiments.0.model.0 = 'vae': Input should be 'gauss' or 't'"),
        ("{model: t, df: [3, abc]}", "experiments.0.df.1 = 'abc': Input should be a valid number"),
        ("{model: t, df: .nan}", "experiments.0.df.0 = nan: must be a number above 0"),
        ("{model: t, df: 0}", "experiments.0.df.0 = 0: must be a number above 0"),
        ("{model: gauss, kl_weight: .inf}", "experiments.0.kl_weight.0 = inf"),
        ("{model: t, kl: exact}", "experiments.0.kl.0 = 'exact'"),
        ("{model: t, dff: 3}", "experiments.0.dff = 3: unknown; an experiment has model, df"),
        ("{df: 3}", "experiments.0.model is missing; add it"),
        ("{model: t, df: []}", "experiments.0.df = []"),
    ],
)
def test_what_is_wrong_with_a_plan_is_said_in_one_line(tmp_path, entry, message):
    with pytest.raises(InputError) as error:
        plan_of(tmp_path, f"- {entry}")
    assert f"sweep.yaml: {message}" in str(error.value)
    assert "\n" not in str(error.value)


def test_names_are_git_refs_and_say_what_differs_from_the_usual():
    kinds = {
        "gauss-s0": GAUSS,
        "gauss-kl_weight0.25-s0": GAUSS._replace(kl_weight=0.25),
        "gauss-likelihood_continuous_bernoulli-s0": GAUSS._replace(
            likelihood="continuous_bernoulli"
        ),
        "t-df21-s0": T,
        "t-dfinf-s0": T._replace(df=np.inf),
        "t-df2.5-s0": T._replace(df=2.5),
        "t-df1-s0": T._replace(df=1.0),
        "t-df5-kl_quadrature-s0": T._replace(df=5.0, kl="quadrature"),
        "t-df5-joint_multivariate-s0": T._replace(df=5.0, joint="multivariate"),
    }
    assert {experiment.name(0): experiment for experiment in kinds.values()} == kinds
    for name in kinds:
        subprocess.run(["git", "check-ref-format", f"refs/exps/ab/cd/{name}"], check=True)


# The plan of trainings

RECIPE = {"schedule": "constant", "epochs": 3, "batch_size": 5, "lr": 0.01, "optimizer": "sgd"}


def trainings_of(tmp_path, text, recipe="short"):
    path = tmp_path / "factors.yaml"
    path.write_text(f"recipe: {recipe}\nexperiments:\n{text}\n")
    return load_trainings(path, TrainingParams(**PARAMS, train={"short": RECIPE}))


def test_what_an_entry_does_not_name_is_the_recipes(tmp_path):
    plan = trainings_of(tmp_path, "- {model: [gauss, t], init: he}\n- {model: t, lr: 0.5}")
    assert plan.defaults == Training("t", "torch", "sgd", 0.01)
    assert plan.experiments == (
        Training("gauss", "he", "sgd", 0.01),
        Training("t", "he", "sgd", 0.01),
        Training("t", "torch", "sgd", 0.5),
    )


@pytest.mark.parametrize(
    ("entry", "recipe", "message"),
    [
        ("{model: t, init: zeros}", "short", "experiments.0.init.0 = 'zeros': Input should be"),
        ("{model: t, optimizer: [adam, lion]}", "short", "experiments.0.optimizer.1 = 'lion'"),
        ("{model: t, lr: 2}", "short", "experiments.0.lr.0 = 2: Input should be less than 1"),
        ("{model: t, df: 3}", "short", "df = 3: unknown; an experiment has model, init, opt"),
        ("{model: t}", "long", "recipe = 'long': must be one of train in params.yaml: short"),
    ],
)
def test_what_is_wrong_with_a_plan_of_trainings_is_said_in_one_line(
    tmp_path, entry, recipe, message
):
    with pytest.raises(InputError) as error:
        trainings_of(tmp_path, f"- {entry}", recipe)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_tracked_trainings_cross_all_and_hold_one_that_diverges():
    params = TrainingParams(**PARAMS, train=read_yaml(ROOT / "params.yaml")["train"])
    plan = load_trainings(ROOT / "factors.yaml", params)
    crossed = {(e.model, e.init, e.optimizer) for e in plan.experiments}
    inits, optimizers = ("torch", "he", "xavier", "normal"), ("adam", "sgd", "momentum")
    assert crossed == set(itertools.product(("gauss", "t"), inits, optimizers))
    assert len(plan.experiments) == 25
    assert Training("gauss", "he", "sgd", 0.02) in plan.experiments
    assert plan.defaults in plan.experiments


# The table


def test_metrics_become_one_number_per_name():
    values = read_metrics(METRICS)
    assert values["elbo"] == -102.5
    assert values["kl_nats"] == 24
    assert values["dead_units"] == 30 + 2 + 1
    assert values["kl/1"] == 2.5
    assert values["quantile/0.001"] == -3.1
    assert values["mse/random/imputation"] == 0.01
    assert values["mse/square/prediction"] == 0.03
    assert sum(name.startswith(("mse", "ssim")) for name in values) == 3 * 2 * 2


@pytest.mark.parametrize("column", ["elbo.kl", "scores.square.single_pass.imputation.image.mse"])
def test_metrics_without_a_number_are_refused(column):
    with pytest.raises(InputError, match=column):
        read_metrics({key: value for key, value in METRICS.items() if key != column})
    with pytest.raises(InputError, match="'nine'"):
        read_metrics(METRICS | {column: "nine"})


def runs_of(*experiments, seeds=(0, 1), dataset="mnist"):
    return {
        Run(dataset, "converged", e, seed): {"elbo": -100.0 - seed, "active": 9.0}
        for e in experiments
        for seed in seeds
    }


def test_the_table_comes_back_and_its_order_is_its_own(tmp_path):
    runs = runs_of(T._replace(df=np.inf), T, GAUSS, T._replace(df=3.0), seeds=(10, 2))
    save_runs(tmp_path / "a.csv", runs, SWEEP)
    assert load_runs(tmp_path / "a.csv", SWEEP) == runs
    save_runs(tmp_path / "b.csv", dict(reversed(runs.items())), SWEEP)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    first, second, *_, last = (tmp_path / "a.csv").read_text().splitlines()
    assert first == "dataset,recipe,model,df,joint,kl,likelihood,kl_weight,seed,params,metric,value"
    assert second == "mnist,converged,gauss,,,,bernoulli,1,2,,active,9"
    assert last == "mnist,converged,t,inf,product,monte_carlo,bernoulli,1,10,,elbo,-110"


def test_a_broken_table_is_refused_by_its_line(tmp_path):
    path = tmp_path / "sweep.csv"
    save_runs(path, runs_of(GAUSS), SWEEP)
    path.write_text(path.read_text().replace("active,9", "active,nine", 1))
    with pytest.raises(InputError, match=r"line 2 .*nine"):
        load_runs(path, SWEEP)


def test_no_table_yet_is_no_run(tmp_path):
    assert load_runs(tmp_path / "sweep.csv", SWEEP) == {}


# The tool, with git and a stand-in for DVC

ALL = PARAMS | {
    "recipes": ["slides", "converged"],
    "device": "auto",
    "train": {"slides": {"epochs": 300}, "converged": {"epochs": 40}},
    "compare": {"seed": 11},
}
PLAN = "recipe: converged\nexperiments:\n- {model: gauss}\n- {model: t, df: [3, .inf]}\n"


class Project:
    """A git repository with params, a plan, and experiments as DVC leaves them."""

    def __init__(self, root):
        self.root = root
        self.git("init", "-q")
        self.write("params.yaml", yaml.safe_dump(ALL))
        self.write("sweep.yaml", PLAN)
        self.write("dvc.yaml", "stages: {a: {params: [recipes, device, train, compare]}}")
        self.commit("state")
        self.head = self.git("rev-parse", "HEAD")

    def git(self, *arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", *identity, *arguments]
        done = subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def write(self, name, content):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(content)

    def commit(self, message):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def experiment(self, name, elbo, changes, baseline=None):
        """Leave the ref of an experiment, with its params and metrics."""
        model, seed = name.partition("-")[0], name.rpartition("-s")[2]
        self.write("params.yaml", yaml.safe_dump(ALL | changes))
        row = METRICS | {"seed": seed, "elbo.elbo": elbo}
        lines = [",".join(map(str, part)) for part in (row, row.values())]
        self.write(f"reports/metrics/converged/{model}.csv", "\n".join(lines))
        self.commit(name)
        baseline = baseline or self.head
        self.git("update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}", "HEAD")
        self.git("reset", "-q", "--hard", self.head)

    def table(self):
        found = load_runs(self.root / "reports" / "sweep.csv", SWEEP)
        return {run.name: values["elbo"] for run, values in found.items()}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.fixture
def ran(project, monkeypatch):
    """The commands of what was run, by name; of what has df 3, nothing comes out."""
    commands = {}

    @contextmanager
    def workers(jobs, scheduler):
        yield (jobs, scheduler)

    def execute(given, graph, executor, *, unit):
        assert executor == (2, None)
        assert graph == dict.fromkeys(given, ())
        commands.update(given)
        for name in given:
            if "df3" not in name:
                project.experiment(name, -7, {"df": float("inf")} if "inf" in name else {})
        if any("df3" in name for name in given):
            raise InputError("run t-df3-s0: out of memory")

    monkeypatch.setattr(tool, "workers", workers)
    monkeypatch.setattr(tool, "execute", execute)
    monkeypatch.setattr(tool, "DVC", ("true",))
    return commands


def collect(capsys):
    tool.main(["--collect-only"])
    return capsys.readouterr().out


def test_what_has_no_result_is_run_with_what_differs_alone_and_the_rest_collected(
    project, ran, capsys
):
    project.experiment("gauss-s0", -1, {"seeds": [0], "recipes": ["converged"]})
    with pytest.raises(InputError, match="out of memory"):
        tool.main(["--jobs", "2"])
    # All of one seed before the next: a table that is cut short has the same for each.
    assert list(ran) == ["t-df3-s0", "t-dfinf-s0", "gauss-s1", "t-df3-s1", "t-dfinf-s1"]
    options = ("-S", "recipes=[converged]", "-S", "seeds=[1]", "evaluate@converged-gauss")
    assert ran["gauss-s1"] == ("true", "exp", "run", "--temp", "--name", "gauss-s1", *options)
    assert ran["t-dfinf-s0"][6:8] == ("-S", "df=inf")
    assert project.table() == {
        "gauss-s0": -1, "gauss-s1": -7, "t-dfinf-s0": -7, "t-dfinf-s1": -7
    }  # fmt: skip
    printed = capsys.readouterr().out
    assert "6 runs are planned, 5 have no result" in printed
    assert "4 of 6 planned runs\n  t-df3-s0: not run\n  t-df3-s1: not run" in printed
    ran.clear()
    with pytest.raises(InputError):
        tool.main(["--jobs", "2"])
    assert list(ran) == ["t-df3-s0", "t-df3-s1"]


def test_collecting_takes_results_with_these_params_alone(project, capsys):
    older = "0" * 40
    project.experiment("gauss-s0", -1, {"seeds": [0], "compare": {"seed": 5}}, older)
    project.experiment("t-df3-s0", -2, {"df": 3, "device": "cpu", "threads": 2})
    project.experiment("t-dfinf-s0", -3, {"df": ".inf"})  # a string
    other = {"train": {"slides": {"epochs": 1}, "converged": {"epochs": 41}}}
    project.experiment("gauss-s1", -4, other)
    project.experiment("t-df3-s1", -5, {"df": 3, "train": ALL["train"] | {"slides": {}}})
    printed = collect(capsys)
    assert project.table() == {"gauss-s0": -1, "t-df3-s0": -2, "t-df3-s1": -5}
    assert "3 of 6 planned runs" in printed
    assert "gauss-s1: run, but with other params or code" in printed
    assert "t-dfinf-s1: not run" in printed


def test_a_gaussian_result_does_not_depend_on_df(project, capsys):
    project.experiment("gauss-s0", -1, {"df": 7, "kl": "quadrature"})
    project.experiment("gauss-s1", -2, {"likelihood": "continuous_bernoulli"})
    collect(capsys)
    assert project.table() == {"gauss-s0": -1}


def rows_of(*experiments, params, **options):
    """Rows as `collect` writes them where `params` are what they are."""
    runs = runs_of(*experiments, **options)
    return {tool.identify(run, params): values for run, values in runs.items()}


def test_rows_of_the_plan_stay_until_something_newer_comes(project, capsys):
    project.experiment("gauss-s0", -1, {})
    t = T._replace(df=3.0)
    seen = rows_of(GAUSS, t, T._replace(df=4.0), params=ALL, seeds=(0,))
    seen |= rows_of(t, params=ALL | {"split": {"seed": 9}}, seeds=(1,))
    seen |= rows_of(GAUSS, params=ALL | {"dataset": "digits"}, dataset="digits")
    table = project.root / "reports" / "sweep.csv"
    save_runs(table, seen, SWEEP)
    collect(capsys)
    found = load_runs(table, SWEEP)
    # df = 4 is not planned; t-df3-s1 is of other params.
    assert {(run.dataset, run.name): values["elbo"] for run, values in found.items()} == {
        ("digits", "gauss-s0"): -100,
        ("digits", "gauss-s1"): -101,
        ("mnist", "gauss-s0"): -1,
        ("mnist", "t-df3-s0"): -100,
    }
    before = table.read_bytes()
    collect(capsys)
    assert table.read_bytes() == before


def test_a_row_of_these_params_needs_no_experiment(project, ran):
    changed = ALL | {"split": {"seed": 9}}
    seen = rows_of(GAUSS, params=ALL) | rows_of(T._replace(df=3.0), params=changed)
    save_runs(project.root / "reports" / "sweep.csv", seen, SWEEP)
    with pytest.raises(InputError):
        tool.main(["--jobs", "2"])
    assert list(ran) == ["t-df3-s0", "t-dfinf-s0", "t-df3-s1", "t-dfinf-s1"]


def test_an_experiment_with_other_params_makes_way(project, ran):
    project.experiment("t-df3-s0", -1, {"split": {"seed": 9}})
    assert "t-df3-s0" in tool.references()
    with pytest.raises(InputError):
        tool.main(["--jobs", "2"])
    assert "t-df3-s0" in ran
    assert "t-df3-s0" not in tool.references()


# Trainings, whose scores are files

TRAININGS = "recipe: slides\nexperiments:\n- {model: [gauss, t], init: [torch, he]}\n"
SCORE = "square/single_pass/imputation/image/mse"


def training_of(model, init, seed, params):
    return tool.identify(Run("mnist", "slides", Training(model, init, "adam", 0.01), seed), params)


@pytest.fixture
def trained(project, monkeypatch):
    """The commands of what was run, by name; whatever begins with he diverges."""
    recipe = {"schedule": "constant", "epochs": 300, "batch_size": 500, "lr": 0.01}
    params = ALL | {"train": {"slides": recipe, "converged": recipe}}
    project.write("params.yaml", yaml.safe_dump(params))
    project.write("factors.yaml", TRAININGS)
    commands = {}

    @contextmanager
    def workers(jobs, scheduler):
        yield None

    def execute(given, graph, executor, *, unit):
        commands.update(given)
        for command in given.values():
            name, out = command[command.index("--name") + 1], command[command.index("--out") + 1]
            row = f"{DIVERGED},2" if "he" in name else f"{SCORE},0.02"
            project.write(out, f"name,value\n{row}\n")

    monkeypatch.setattr(tool, "workers", workers)
    monkeypatch.setattr(tool, "execute", execute)
    monkeypatch.setattr(tool, "DVC", ("true",))
    return params, commands


def test_trainings_are_collected_and_one_that_diverged_is_a_result(project, trained, capsys):
    params, commands = trained
    tool.main(["factors"])
    assert list(commands) == [
        f"{model}-{init}-adam-lr0.01-s{seed}"
        for seed in (0, 1) for model in ("gauss", "t") for init in ("torch", "he")
    ]  # fmt: skip
    table = project.root / "reports" / "factors.csv"
    found = load_runs(table, FACTORS)
    for model, init, seed in itertools.product(("gauss", "t"), ("torch", "he"), (0, 1)):
        values = {DIVERGED: 2} if init == "he" else {SCORE: 0.02}
        assert found[training_of(model, init, seed, params)] == values
    first, second, *_ = table.read_text().splitlines()
    assert first == (
        "dataset,recipe,model,init,optimizer,lr,seed,params,mechanism,method,output,region,metric,value"
    )
    assert second.startswith("mnist,slides,gauss,he,adam,0.01,0,")
    assert second.endswith(",none,,,image,diverged,2")
    before = table.read_bytes()
    commands.clear()
    tool.main(["factors"])
    assert not commands
    assert table.read_bytes() == before
    assert "8 runs are planned, 0 have no result" in capsys.readouterr().out


def test_a_clone_goes_on_from_the_tracked_table(project, trained):
    params, commands = trained
    seen = {training_of("gauss", init, 0, params): {SCORE: 0.5} for init in ("torch", "he")}
    other = params | {"train": {"slides": params["train"]["slides"] | {"epochs": 2}}}
    seen |= {training_of("t", "torch", 0, other): {SCORE: 0.5}}
    seen |= {training_of("gauss", "torch", 1, params | {"df": 5}): {SCORE: 0.25}}
    table = project.root / "reports" / "factors.csv"
    save_runs(table, seen, FACTORS)
    tool.main(["factors"])
    assert len(commands) == 8 - 3  # a Gaussian model does not depend on df
    assert {"t-torch-adam-lr0.01-s0", "t-he-adam-lr0.01-s1"} <= set(commands)
    found = load_runs(table, FACTORS)
    assert len(found) == 8
    assert found[training_of("gauss", "he", 0, params)] == {SCORE: 0.5}
    assert found[training_of("gauss", "torch", 1, params)] == {SCORE: 0.25}


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (PLAN.replace("converged", "slow"), [], "recipe = 'slow': must be one of train"),
        (PLAN, ["--jobs", "0"], "--jobs 0: must be 1 or more"),
    ],
    ids=["recipe", "jobs"],
)
def test_bad_input_stops_before_anything_is_run(project, monkeypatch, text, arguments, message):
    monkeypatch.setattr(tool, "DVC", ("true",))
    (project.root / "sweep.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        tool.main(arguments)


def test_what_a_program_complains_of_is_one_line(project):
    with pytest.raises(InputError, match=r"git rev-parse nothing: fatal: .*nothing") as error:
        tool.output("git", "rev-parse", "nothing")
    assert "\n" not in str(error.value)
