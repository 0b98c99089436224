"""Run a plan beside the pipeline, and collect what came out.

``python -m tools.sweep`` runs ``sweep.yaml`` and writes ``reports/sweep.csv``; with ``factors`` it
is ``factors.yaml`` and ``reports/factors.csv``. Every planned run that has no result with the
params as they are is run, several side by side, all of one seed before the next. A run of
``sweep.yaml`` is an experiment of DVC's, in a copy of the project; one of ``factors.yaml`` leaves
its scores in ``.factors/``. In the working tree nothing changes but those, the table, and what
`dvc repro mask` makes. Stopped, it goes on where it was when started again.
"""

import argparse
import csv
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from study import params as pipeline
from study.trials.sweep import (
    FACTORS,
    SWEEP,
    Plan,
    Run,
    SweepParams,
    Table,
    TrainingParams,
    load_plan,
    load_runs,
    load_trainings,
    read_metrics,
    save_runs,
)
from tools.cluster import execute, last_error, workers
from tools.run import DVC, add_arguments
from vaefill.errors import InputError
from vaefill.storage import load_table

PARAMS, SCORES = "params.yaml", Path(".factors")
#: Decide which runs there are, or what is made of them, but not what comes out of one, save for
#: the last digits.
IRRELEVANT = {
    "seeds", "recipes", "compare", "device", "threads", "infer", "masked", "classifier", "assess",
    "degrade", "control",
}  # fmt: skip

AnyRun = Run[Any]
Results = dict[AnyRun, dict[str, float]]


class Kind(NamedTuple):
    """How the runs of a plan are run, and where what came out lies.

    Attributes
    ----------
    form : Table
        Of the table ``reports/NAME.csv``; the plan is ``NAME.yaml``.
    params : type
        What the plan needs of the params.
    load : callable
        Reads the plan, given those.
    command : callable
        Makes the command of a run, given all params.
    results : callable
        Reads what came out of those runs that have been run with all params as they are.
    """

    form: Table[Any]
    params: type[SweepParams]
    load: Callable[..., Plan[Any]]
    command: Callable[[AnyRun, Mapping[str, Any]], Sequence[str]]
    results: Callable[[Sequence[AnyRun], Mapping[str, Any]], Results]


def main(argv: Sequence[str] | None = None) -> None:
    """Run and collect."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", nargs="?", default="sweep", choices=KINDS, help="%(default)s")
    add_arguments(parser)
    parser.add_argument("--collect-only", action="store_true", help="collect what was run before")
    args = parser.parse_args(argv)

    kind, file, table = KINDS[args.name], f"{args.name}.yaml", f"reports/{args.name}.csv"
    checked = pipeline.read_params(kind.params)
    params = pipeline.read_yaml(PARAMS)
    plan = kind.load(file, checked)
    if plan.recipe not in params["train"]:
        raise InputError(
            f"{file}: recipe = {plan.recipe!r}: must be one of train in {PARAMS}: "
            f"{', '.join(params['train'])}"
        )
    planned = [
        identify(Run(checked.dataset, plan.recipe, experiment, seed), params)
        for seed in dict.fromkeys(checked.seeds)
        for experiment in plan.experiments
    ]
    found = load_runs(table, kind.form) | kind.results(planned, params)
    due = [run for run in planned if run not in found]
    print(f"{len(planned)} runs are planned, {len(due)} have no result")
    try:
        if due and not args.collect_only:
            work({run.name: kind.command(run, params) for run in due}, args.jobs, args.scheduler)
    finally:
        collect(kind, table, planned, params)


def work(commands: Mapping[str, Sequence[str]], jobs: int, scheduler: str | None = None) -> None:
    """Run what has no result.

    Raises
    ------
    InputError
        When one fails; the others are run all the same.
    """
    # What all have in common, once and here: it fails early, and they do not race for it.
    output(*DVC, "repro", "--quiet", "mask")
    with workers(min(jobs, len(commands)), scheduler) as executor:
        execute(commands, dict.fromkeys(commands, ()), executor, unit="run")


def experiment(run: AnyRun, params: Mapping[str, Any]) -> Sequence[str]:
    """Make the command of a run that is an experiment of DVC's."""
    head = output("git", "rev-parse", "HEAD").strip()
    # An experiment of this name here has other params; DVC would refuse a second one.
    output("git", "update-ref", "-d", f"refs/exps/{head[:2]}/{head[2:]}/{run.name}")
    target = f"evaluate@{run.recipe}-{run.experiment.model}"
    return (*DVC, "exp", "run", "--temp", "--name", run.name, *overrides(run, params), target)


def training(run: AnyRun, params: Mapping[str, Any]) -> Sequence[str]:
    """Make the command of a run that trains and scores in one process."""
    paths = {
        "--plan": "factors.yaml", "--split": "data/split.npz", "--missing": "data/missing.npz",
        "--out": str(scores(run)),
    }  # fmt: skip
    flags = [part for pair in paths.items() for part in pair]
    return (sys.executable, "-m", "stages.factor", "--name", run.name, *flags)


def scores(run: AnyRun) -> Path:
    """Name the file in which a run leaves its scores."""
    return SCORES / f"{run.name}-{run.params}.csv"


def overrides(run: AnyRun, params: Mapping[str, Any]) -> list[str]:
    """Return the options that turn `params` into those of one run; what is equal, they leave."""
    changes = {k: v for k, v in run.experiment.settings.items() if params[k] != v}
    # So infinity is `inf`: DVC would make a string of `.inf`.
    texts = {k: f"{v:g}" if isinstance(v, float) else v for k, v in changes.items()}
    texts |= {"recipes": f"[{run.recipe}]", "seeds": f"[{run.seed}]"}
    return [part for key, text in texts.items() for part in ("-S", f"{key}={text}")]


def collect(kind: Kind, path: str, planned: Sequence[AnyRun], params: Mapping[str, Any]) -> None:
    """Write the table: what is new, and what it had of the plan already."""
    plan = {(run.recipe, run.experiment) for run in planned}
    current = {run._replace(params="") for run in planned}
    kept = {
        run: values
        for run, values in load_runs(path, kind.form).items()
        if (run.recipe, run.experiment) in plan
        and (run in planned or run._replace(params="") not in current)  # not of other params
    }
    table = kept | kind.results(planned, params)
    save_runs(path, table, kind.form)
    missing = [run.name for run in planned if run not in table]
    print(f"{path}: {len(planned) - len(missing)} of {len(planned)} planned runs")
    experiments = references()
    for name in missing:
        state = "run, but with other params or code" if name in experiments else "not run"
        print(f"  {name}: {state}")


def of_trainings(planned: Sequence[AnyRun], params: Mapping[str, Any]) -> Results:
    """Read the scores that planned runs have left with the params as they are."""
    return {
        run: {row["name"]: float(row["value"]) for row in load_table(scores(run))}
        for run in planned
        if scores(run).exists()
    }


def of_experiments(planned: Sequence[AnyRun], params: Mapping[str, Any]) -> Results:
    """Read the metrics of every planned run that has an experiment with `params`."""
    found: Results = {}
    experiments = references()
    for run in planned:
        wanted = relevant(run.experiment.applied(params, run.recipe), run)
        for reference in experiments.get(run.name, []):
            theirs = pipeline.parse_yaml(show(reference, PARAMS)) or {}
            if relevant(theirs, run) != wanted:
                continue
            metrics = f"reports/metrics/{run.recipe}/{run.experiment.model}.csv"
            rows = csv.DictReader(show(reference, metrics).splitlines())
            try:
                (row,) = [row for row in rows if row.get("seed") == str(run.seed)]
                found[run] = read_metrics(row)
                break
            except ValueError:  # of other code
                continue
    return found


def identify(run: AnyRun, params: Mapping[str, Any]) -> AnyRun:
    """Give `run` the digest of the params that it has when all else is as in `params`."""
    kept = relevant(run.experiment.applied(params, run.recipe), run)
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    return run._replace(params=digest[:12])


def relevant(params: Mapping[str, Any], run: AnyRun) -> dict[str, Any]:
    """Keep of `params` what decides the result of a run."""
    unused = IRRELEVANT | run.experiment.unused
    kept = {key: value for key, value in params.items() if key not in unused}
    return kept | {"train": params.get("train", {}).get(run.recipe)}


def references() -> dict[str, list[str]]:
    """Return the git refs of all experiments by their names, the newest first."""
    listing = output(
        "git", "for-each-ref", "--sort=-committerdate", "--format=%(refname)", "refs/exps"
    )
    found: dict[str, list[str]] = {}
    for reference in listing.splitlines():
        # refs/exps/ab/cdef…/NAME; DVC keeps refs of its own beside them.
        if match := re.fullmatch(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38,}/(\S+)", reference):
            found.setdefault(match[1], []).append(reference)
    return found


def show(reference: str, path: str) -> str:
    """Read a file as an experiment left it; empty where it has none."""
    command = ["git", "show", f"{reference}:{path}"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    return "" if done.returncode else done.stdout


def output(*command: str) -> str:
    """Run a command and return what it prints.

    Raises
    ------
    InputError
        When it fails; says what it complains of.
    """
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise InputError(f"{' '.join(command)}: {last_error(done.stderr or done.stdout)}")
    return done.stdout


KINDS = {
    "sweep": Kind(SWEEP, SweepParams, load_plan, experiment, of_experiments),
    "factors": Kind(FACTORS, TrainingParams, load_trainings, training, of_trainings),
}

if __name__ == "__main__":
    pipeline.run(main)
