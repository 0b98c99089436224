"""Run the plan of ``sweep.yaml`` as experiments of DVC's, and collect what came out.

``python -m tools.sweep`` runs every planned experiment that has no result with the params as they
are, neither in the table nor among the experiments of this clone, several side by side, each in a
copy of the project, and writes ``reports/sweep.csv``. In the working tree nothing changes but that
table and what `dvc repro mask` makes. Stopped, it goes on where it was when started again.
"""

import argparse
import csv
import hashlib
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from study import params as pipeline
from study.trials.sweep import (
    Experiment,
    Run,
    SweepParams,
    load_plan,
    load_runs,
    read_metrics,
    save_runs,
)
from tools.cluster import execute, last_error, workers
from tools.run import DVC, add_arguments
from vaefill.errors import InputError

PARAMS, PLAN, TABLE = "params.yaml", "sweep.yaml", "reports/sweep.csv"
#: Decide which runs there are, or what is made of them, but not what comes out of one, save for
#: the last digits.
IRRELEVANT = {
    "seeds", "recipes", "compare", "device", "threads", "infer", "masked", "classifier", "assess",
    "degrade", "control",
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Run and collect."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_arguments(parser)
    parser.add_argument("--collect-only", action="store_true", help="collect what was run before")
    args = parser.parse_args(argv)

    checked = pipeline.read_params(SweepParams)
    params = pipeline.read_yaml(PARAMS)
    plan = load_plan(PLAN, checked)
    if plan.recipe not in params["train"]:
        raise InputError(
            f"{PLAN}: recipe = {plan.recipe!r}: must be one of train in {PARAMS}: "
            f"{', '.join(params['train'])}"
        )
    planned = [
        identify(Run(checked.dataset, plan.recipe, experiment, seed), params)
        for experiment in plan.experiments
        for seed in dict.fromkeys(checked.seeds)
    ]
    found = load_runs(TABLE) | results(planned, params)
    due = [run for run in planned if run not in found]
    print(f"{len(planned)} runs are planned, {len(due)} have no result")
    try:
        if due and not args.collect_only:
            work(due, params, args.jobs, args.scheduler)
    finally:
        collect(planned, params)


def work(
    due: Sequence[Run], params: Mapping[str, Any], jobs: int, scheduler: str | None = None
) -> None:
    """Run what has no result.

    Raises
    ------
    InputError
        When one fails; the others are run all the same.
    """
    # What all have in common, once and here: it fails early, and they do not race for it.
    output(*DVC, "repro", "--quiet", "mask")
    head = output("git", "rev-parse", "HEAD").strip()
    commands = {}
    for run in due:
        # An experiment of this name here has other params; DVC would refuse a second one.
        output("git", "update-ref", "-d", f"refs/exps/{head[:2]}/{head[2:]}/{run.name}")
        target = f"evaluate@{run.recipe}-{run.experiment.model}"
        arguments = ("exp", "run", "--temp", "--name", run.name, *overrides(run, params), target)
        commands[run.name] = (*DVC, *arguments)
    with workers(min(jobs, len(due)), scheduler) as executor:
        execute(commands, dict.fromkeys(commands, ()), executor, unit="run")


def overrides(run: Run, params: Mapping[str, Any]) -> list[str]:
    """Return the options that turn `params` into those of one run; what is equal, they leave."""
    changes = {k: v for k, v in run.experiment.settings.items() if params[k] != v}
    # So infinity is `inf`: DVC would make a string of `.inf`.
    texts = {k: f"{v:g}" if isinstance(v, float) else v for k, v in changes.items()}
    texts |= {"recipes": f"[{run.recipe}]", "seeds": f"[{run.seed}]"}
    return [part for key, text in texts.items() for part in ("-S", f"{key}={text}")]


def collect(planned: Sequence[Run], params: Mapping[str, Any]) -> None:
    """Write the table: what is new, and what it had of the plan already."""
    plan = {(run.recipe, run.experiment) for run in planned}
    current = {run._replace(params="") for run in planned}
    kept = {
        run: values
        for run, values in load_runs(TABLE).items()
        if (run.recipe, run.experiment) in plan
        and (run in planned or run._replace(params="") not in current)  # not of other params
    }
    table = kept | results(planned, params)
    save_runs(TABLE, table)
    missing = [run.name for run in planned if run not in table]
    print(f"{TABLE}: {len(planned) - len(missing)} of {len(planned)} planned runs")
    experiments = references()
    for name in missing:
        state = "run, but with other params or code" if name in experiments else "not run"
        print(f"  {name}: {state}")


def results(planned: Sequence[Run], params: Mapping[str, Any]) -> dict[Run, dict[str, float]]:
    """Read the metrics of every planned run that has an experiment with `params`."""
    found, experiments = {}, references()
    for run in planned:
        wanted = relevant({**params, **run.experiment.settings}, run)
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


def identify(run: Run, params: Mapping[str, Any]) -> Run:
    """Give `run` the digest of the params that it has when all else is as in `params`."""
    kept = relevant({**params, **run.experiment.settings}, run)
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    return run._replace(params=digest[:12])


def relevant(params: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """Keep of `params` what decides the result of a run."""
    unused = IRRELEVANT | (set(Experiment._fields[1:]) - set(run.experiment.settings))
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


if __name__ == "__main__":
    pipeline.run(main)
