"""Kill at random what runs the demo, start it again, and compare with an undisturbed run.

    PYTHONPATH=src:.:tests python tests/tools/kill_campaign.py --kills 100

Every few seconds one of the processes at work is killed by ``kill -9``: the runner, a worker, what
guards a command, DVC, or a stage. Ends with 1 when a run does not come to
its end or leaves other bytes in data, models or reports. Not among the tests: it takes a
quarter of an hour.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import yaml
from conftest import ROOT
from project import ENV, Project

from study.params import read_yaml
from tools import demo

KINDS = {"spawn_main": "worker", "guard": "guard", "-m dvc": "dvc", "-m stages": "stage"}
PATIENCE = 1800.0  # seconds for one run of the demo, however often it is killed


def prepare(root: Path) -> Project:
    """Make a demo as `make demo` does."""
    shutil.rmtree(root, ignore_errors=True)
    demo.copy_tree(root)
    params = read_yaml("params.yaml")
    demo.override(params, read_yaml("demo.yaml"))
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (root / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
    project = Project.__new__(Project)
    project.root = root
    return project


def start(root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tools.run", "--jobs", "2"],
        cwd=root, env=ENV | {"PYTHONPATH": f"{root}/src"}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=(root / "said").open("ab"),
    )  # fmt: skip


def at_work(run: subprocess.Popen[bytes]) -> dict[str, list[psutil.Process]]:
    """List the processes of a run by their kind."""
    found: dict[str, list[psutil.Process]] = {"runner": [psutil.Process(run.pid)]}
    for process in found["runner"][0].children(recursive=True):
        try:
            command = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        if kind := next((kind for mark, kind in KINDS.items() if mark in command), None):
            found.setdefault(kind, []).append(process)
    return found


def disturb(project: Project, kills: int, rng: random.Random) -> Counter[str]:
    """Run the demo to its end, killing up to `kills` times on the way; count what was killed."""
    counts: Counter[str] = Counter()
    deadline = time.monotonic() + PATIENCE
    run = start(project.root)
    while time.monotonic() < deadline:
        try:
            code = run.wait(rng.uniform(0.2, 6) if counts.total() < kills else None)
        except subprocess.TimeoutExpired:
            try:
                kinds = at_work(run)
                if len(kinds) == 1 and rng.random() < 0.8:
                    continue  # it starts, which is only a part of the time
                kind = rng.choice(sorted(kinds))
                rng.choice(kinds[kind]).kill()
                counts[kind] += 1
            except psutil.NoSuchProcess:
                pass
            continue
        if code == 0:
            return counts
        time.sleep(rng.uniform(0, 1))
        run = start(project.root)
    run.kill()
    sys.exit(f"no end within {PATIENCE:.0f} s; see {project.root}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.chdir(ROOT)
    rng, counts, rounds = random.Random(args.seed), Counter[str](), 0
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    undisturbed = prepare(folder / "undisturbed")
    if start(undisturbed.root).wait():
        sys.exit(f"the undisturbed run fails; see {undisturbed.root}")
    expected = undisturbed.results()
    mended = 0
    while counts.total() < args.kills:
        project = prepare(folder / "disturbed")
        counts += disturb(project, args.kills - counts.total(), rng)
        rounds += 1
        mended += (project.root / "said").read_text("utf-8", "replace").count("was cut off")
        results = project.results()
        different = [
            name for name in expected.keys() | results.keys()
            if expected.get(name) != results.get(name)
        ]  # fmt: skip
        print(f"{rounds} runs, {counts.total()} kills {dict(counts)}, mended {mended}", flush=True)
        if different or "up to date" not in project.dvc("status"):
            sys.exit(f"other bytes: {', '.join(sorted(different))}; see {project.root}")
    shutil.rmtree(folder)
    print(f"{counts.total()} kills in {rounds} runs: {len(expected)} files, all the same bytes")


if __name__ == "__main__":
    main()
