"""Run the plan of ``sweep.yaml`` by DVC's queue, and collect what came out.

``python -m tools.sweep`` queues an experiment for every planned run that has no result with the
params as they are, neither in the table nor among the experiments of this clone, starts workers,
waits, and writes ``reports/sweep.csv``. In the working tree nothing changes but that table and
what `dvc repro mask` makes. Stopped, it goes on where it was when started again.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from tqdm import tqdm

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
from vaefill.errors import InputError

PARAMS, PLAN, TABLE = "params.yaml", "sweep.yaml", "reports/sweep.csv"
#: Decide which runs there are, or what is made of them, but not what comes out of one.
IRRELEVANT = {"seeds", "recipes", "compare", "device", "infer", "masked", "assess", "degrade"}
DVC = (sys.executable, "-m", "dvc")
DONE = {"Success", "Failed"}
POLL = 15.0  # seconds between two looks at the queue, each of which takes one or two
PATIENCE = 3  # looks in a row without any worker, before it counts as gone


def main(argv: Sequence[str] | None = None) -> None:
    """Queue, run, collect."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="experiments at a time")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--queue-only", action="store_true", help="queue, but start no worker")
    parts.add_argument("--collect-only", action="store_true", help="collect what was run before")
    args = parser.parse_args(argv)
    if args.jobs < 1:
        raise InputError(f"--jobs {args.jobs}: must be 1 or more")

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
    if not args.collect_only:
        queue(planned, params)
    if not args.collect_only and not args.queue_only:
        work({run.name for run in planned}, jobs=args.jobs)
    if not args.queue_only:
        collect(planned, params)


def queue(planned: Sequence[Run], params: Mapping[str, Any]) -> None:
    """Queue what neither has a result nor waits already."""
    states, _ = tasks()  # first: what ends meanwhile has a result by then
    found = load_runs(TABLE) | results(planned, params)
    lacking = [run for run in planned if run not in found]
    due = [run for run in lacking if states.get(run.name, "Failed") in DONE]
    print(f"{len(planned)} runs are planned, {len(lacking)} have no result, {len(due)} to queue")
    if not due:
        return
    # What all have in common, once and here: it fails early, and workers do not race for it.
    dvc("repro", "--quiet", "mask")
    done = [run.name for run in due if run.name in states]
    if done:
        dvc("queue", "remove", *done)
    head = git("rev-parse", "HEAD").strip()
    for run in tqdm(due, unit="run", desc="queueing"):
        # An experiment of this name here has other params; DVC would refuse a second one.
        git("update-ref", "-d", f"refs/exps/{head[:2]}/{head[2:]}/{run.name}")
        target = f"evaluate@{run.recipe}-{run.experiment.model}-{run.seed}"
        dvc("exp", "run", "--queue", "--name", run.name, *overrides(run, params), target)


def overrides(run: Run, params: Mapping[str, Any]) -> list[str]:
    """Return the options that turn `params` into those of one run; what is equal, they leave."""
    changes = {k: v for k, v in run.experiment.settings.items() if params[k] != v}
    # So infinity is `inf`: DVC would make a string of `.inf`.
    texts = {k: f"{v:g}" if isinstance(v, float) else v for k, v in changes.items()}
    texts |= {"recipes": f"[{run.recipe}]", "seeds": f"[{run.seed}]"}
    return [part for key, text in texts.items() for part in ("-S", f"{key}={text}")]


def work(names: set[str], *, jobs: int) -> None:
    """Start workers and wait until none of `names` is left in the queue.

    Workers live on when this process ends, and may stop early themselves: then new ones are
    started. What a lost worker was at is given up; it has no result and can be queued again.
    """
    states, workers = tasks()
    ours = {name for name in names if states.get(name, "Failed") not in DONE}
    without = PATIENCE  # start at once where there is no worker yet
    with tqdm(total=len(ours), unit="run", desc="running") as bar:
        while True:
            done = [name for name in ours if states.get(name, "Failed") in DONE]
            failed = sum(states.get(name) == "Failed" for name in ours)
            bar.set_postfix_str(f"{failed} failed" if failed else "", refresh=False)
            bar.update(len(done) - bar.n)
            left = ours.difference(done)
            if not left:
                break
            without = 0 if workers else without + 1
            if without > PATIENCE:
                if not any(states[name] == "Queued" for name in left):
                    dvc("queue", "kill", *left)
                    break
                start(jobs)
                without = 0
            time.sleep(POLL)
            states, workers = tasks()


def start(jobs: int) -> None:
    """Start `jobs` workers, which share the cores."""
    cores = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    # Workers keep what they inherit: no pipe to wait on, and no terminal to be interrupted from.
    done = subprocess.run(
        [*DVC, "queue", "start", "--jobs", str(jobs)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment() | {"OMP_NUM_THREADS": str(max(1, cores // jobs))},
        start_new_session=True,
    )
    if done.returncode:
        raise InputError("DVC cannot start its workers; `dvc queue start` shows why")


def tasks() -> tuple[dict[str, str], int]:
    """Read the states of all tasks by their names, and the number of workers, from DVC."""
    text = dvc("queue", "status")
    rows = re.findall(r"^[0-9a-f]{7,} +(\S+) .* (\w+) *$", text, re.MULTILINE)
    # Of two tasks of one name the one that is not done counts.
    states = dict(sorted(rows, key=lambda row: row[1] not in DONE))
    workers = re.search(r"Worker status: (\d+) active, (\d+) idle", text)
    return states, sum(map(int, workers.groups())) if workers else 0


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
    missing = [run for run in planned if run not in table]
    print(f"{TABLE}: {len(planned) - len(missing)} of {len(planned)} planned runs")
    states, experiments = tasks()[0] if missing else {}, references()
    for run in missing:
        state = states.get(run.name, "not run")
        if state == "Failed":
            reason = f"failed; `dvc queue logs {run.name}` shows why"
        else:
            other = run.name in experiments
            reason = "run, but with other params or code" if other else state.lower()
        print(f"  {run.name}: {reason}")


def results(planned: Sequence[Run], params: Mapping[str, Any]) -> dict[Run, dict[str, float]]:
    """Read the metrics of every planned run that has an experiment with `params`."""
    found, experiments = {}, references()
    for run in planned:
        wanted = relevant({**params, **run.experiment.settings}, run)
        for reference in experiments.get(run.name, []):
            theirs = YAML(typ="safe", pure=True).load(show(reference, PARAMS) or "{}")
            if relevant(theirs, run) != wanted:
                continue
            metrics = f"reports/metrics/{run.recipe}/{run.experiment.model}-{run.seed}.json"
            try:
                found[run] = read_metrics(json.loads(show(reference, metrics) or "{}"))
                break
            except InputError:  # of other code
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
    listing = git("for-each-ref", "--sort=-committerdate", "--format=%(refname)", "refs/exps")
    found: dict[str, list[str]] = {}
    for reference in listing.splitlines():
        # refs/exps/ab/cdef…/NAME; DVC keeps refs of its own beside them.
        if match := re.fullmatch(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38,}/(\S+)", reference):
            found.setdefault(match[1], []).append(reference)
    return found


def show(reference: str, path: str) -> str | None:
    """Read a file as an experiment left it; None where it has none."""
    command = ["git", "show", f"{reference}:{path}"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    return None if done.returncode else done.stdout


def git(*arguments: str) -> str:
    """Run git and return what it prints."""
    return _output(["git"], arguments)


def dvc(*arguments: str) -> str:
    """Run DVC and return what it prints."""
    return _output(DVC, arguments)


def _output(program: Sequence[str], arguments: Sequence[str]) -> str:
    done = subprocess.run(
        [*program, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(),
    )
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith(("ERROR", "fatal"))]
        reason = (errors or lines or ["failed"])[0]
        raise InputError(f"{program[-1]} {' '.join(arguments)}: {reason}")
    return done.stdout


def environment() -> dict[str, str]:
    """Let the stages' `python` be the one that runs this, whether its venv is active or not."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path}


if __name__ == "__main__":
    try:
        pipeline.run(main)
    except KeyboardInterrupt:
        sys.exit("stopped; workers that were started go on, `dvc queue stop --kill` ends them")
