"""Graphs of commands on two workers of Dask's, and what becomes of them when something dies."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import ROOT
from dask import config
from distributed import KilledWorker, LocalCluster, nanny, process

from tools import cluster
from vaefill.errors import InputError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes and signals are those of Unix")

#: Runs three long items, as the tools do.
LONG = """
import sys
from study import params
from tools.cluster import execute, workers

def main():
    commands = {n: ("sh", "-c", f"echo $$ > {n}.pid; sleep 60") for n in "abc"}
    with workers(2, *sys.argv[1:]) as executor:
        execute(commands, dict.fromkeys("abc", ()), executor, unit="item")

if __name__ == "__main__":
    params.run(main)
"""


@pytest.fixture(scope="module")
def executor():
    with cluster.workers(2) as executor:
        yield executor


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def execute(executor, graph, mend=lambda: False, **commands):
    shell = {item: ("sh", "-c", commands.get(item, "true")) for item in graph}
    return cluster.execute(shell, graph, executor, unit="item", mend=mend)


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(*files):
    """Whether the processes that wrote their numbers there have ended."""
    pids = [int(Path(file).read_text()) for file in files]
    return all(
        not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        for pid in pids
    )


def test_items_run_side_by_side_and_after_what_they_need(executor, here):
    meet = "touch {0}; until test -e {1}; do sleep 0.02; done"  # each waits for the other
    graph = {"last": ("left", "right"), "left": ("first",), "right": ("first",), "first": ()}
    execute(
        executor, graph, first="touch first", last="test -e l -a -e r && touch last",
        left="test -e first && " + meet.format("l", "r"), right=meet.format("r", "l"),
    )  # fmt: skip
    assert (here / "last").exists()


def test_the_first_failure_is_named_and_all_else_runs(executor, here):
    graph = {"bad": (), "worse": ("good",), "good": (), "after": ("bad",), "late": ("good",)}
    bad = "echo working; echo 'error: no such thing'; echo ERROR: failed to run; exit 3"
    with pytest.raises(InputError) as error:
        execute(
            executor,
            graph,
            bad=bad,
            worse="sleep 0.5; false",
            after="touch after",
            late="touch late",
        )
    assert str(error.value) == (
        "item bad: error: no such thing; its log: .logs/bad.log; 1 more failed; 2 of 5 are done"
    )
    assert (here / "late").exists()
    assert not (here / "after").exists()
    assert (here / ".logs" / "bad.log").read_text().startswith("working\n")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("echo 'a: b'; printf '10%%\\r20%%\\r'; exit 7", "20%"),
        ("printf 'Traceback\\n  File\\ntorch.OutOfMemoryError: CUDA\\n'; false", "torch.OutOf"),
        ("echo \"ERROR: failed to reproduce 'a'\"; echo hint; exit 255", "ERROR: failed to rep"),
        ("exit 7", "ended with code 7"),
        ("kill -9 $$", "ended by signal 9"),
    ],
)
def test_the_reason_is_the_line_that_says_most(executor, command, reason):
    with pytest.raises(InputError, match=f"^item a: {reason}"):
        execute(executor, {"a": ()}, a=command)


def test_what_a_command_leaves_behind_ends_with_it(executor):
    with pytest.raises(InputError, match="signal 9"):
        execute(executor, {"a": ()}, a="sleep 60 & echo $! > child; kill -9 $$")
    until(lambda: gone("child"))


def test_the_item_of_a_worker_that_dies_is_run_again_and_its_processes_end(executor, here):
    # The worker is the parent of what it runs.
    command = "test -e pid || { echo $$ > pid; kill -9 $PPID; sleep 60; }; touch done"
    execute(executor, {"a": (), "b": ("a",)}, a=command, b="test -e done")
    assert gone("pid")


def test_a_worker_that_is_back_late_is_waited_for(here):
    command = ("sh", "-c", "test -e died || { touch died; kill -9 $PPID; sleep 60; }")
    with config.set({"distributed.deploy.lost-worker-timeout": "10ms"}), cluster.workers(1) as one:
        again = one.submit(cluster.run_command, command, "log", str(here))
        assert again.result(timeout=60)[0] == ""


def test_an_item_that_kills_every_worker_is_given_up(executor, here):
    with pytest.raises(InputError, match=r"^item a: the workers that ran it died") as error:
        execute(executor, {"a": (), "b": ()}, a="kill -9 $PPID; sleep 60", b="touch b")
    assert "1 of 2 are done" in str(error.value)
    assert (here / "b").exists()


def test_what_only_waited_in_a_worker_that_died_is_not_blamed(here):
    commands = {"a": "kill -9 $PPID; sleep 60", **dict.fromkeys("bcd", "sleep 0.3")}
    with cluster.workers(1) as one, pytest.raises(InputError, match=r"^item a: .* 3 of 4 are done"):
        execute(one, dict.fromkeys("abcd", ()), **commands)


def test_leaving_waits_for_the_worker_that_replaces_one_that_died_young(here, monkeypatch):
    # As on a busy machine: Dask hears late of a worker that stands, and starts the next slowly.
    monkeypatch.setattr(nanny.WorkerProcess, "_init_msg_interval", 2)
    call = process._call_and_set_future
    monkeypatch.setattr(
        process, "_call_and_set_future", lambda *action: (time.sleep(2), call(*action))
    )
    with config.set({"distributed.scheduler.allowed-failures": 1}), cluster.workers(1) as one:
        died = one.submit(
            cluster.run_command, ("sh", "-c", "kill -9 $PPID; sleep 60"), "log", str(here)
        )
        with pytest.raises(KilledWorker):
            died.result(timeout=60)


def test_what_stumbled_over_what_was_mended_runs_again(executor, here):
    def mend():
        if broken := (here / "broken").exists():
            (here / "broken").rename(here / "mended")
        return broken

    stumble = "touch seen; until test -e mended; do sleep 0.02; done; false"
    commands = {"a": "touch broken", "b": f"test -e seen || {{ {stumble}; }}"}
    assert not execute(executor, {"a": ()}, mend=mend)
    assert execute(executor, {"a": (), "b": ()}, mend=mend, **commands)
    with pytest.raises(InputError, match=r"^item a: ended with code 1"):
        execute(executor, {"a": ()}, mend=mend, a="false")


def test_memory_that_is_freed_is_kept_unless_the_user_says_else(executor, here, monkeypatch):
    for name in cluster.MEMORY:
        monkeypatch.delenv(name, raising=False)
    execute(executor, {"a": ()}, a="echo $MALLOC_MMAP_MAX_ $MALLOC_TRIM_THRESHOLD_")
    assert (here / ".logs" / "a.log").read_text() == "0 -1\n"
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "7")
    assert cluster.environment()["MALLOC_MMAP_MAX_"] == "7"
    assert cluster.environment()["MALLOC_TRIM_THRESHOLD_"] == "-1"


def test_the_time_of_an_item_is_its_own_and_adds_up_over_stops(executor, here):
    seconds = {}
    log = here / ".logs" / "a.log.seconds"
    log.parent.mkdir()
    log.write_text("100")  # as a run that was killed leaves it
    commands = {name: ("sh", "-c", "sleep 1") for name in "abcd"}
    cluster.execute(
        commands, dict.fromkeys("abcd", ()), executor, unit="item", note=seconds.__setitem__
    )
    assert 101 <= seconds["a"] < 1 + 100 + 60
    assert all(1 <= seconds[name] < 60 for name in "bcd")
    assert not log.exists()
    with pytest.raises(InputError):
        execute(executor, {"a": ()}, a="exit 1")
    assert not log.exists()  # it begins anew


def test_a_clock_goes_on_where_it_was_stopped(here, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(cluster.time, "monotonic", lambda: now[0])
    for start, end, total in ((0, 5, 5), (100, 107, 12), (200, 211, 23)):
        now[0] = start
        clock = cluster.Clock(here / "seconds")
        now[0] = end
        assert clock.seconds == total
        if end - start < cluster.BEAT:
            clock.beat()
            clock.stop(done=False)
    clock.beat()
    assert float((here / "seconds").read_text()) == 23  # though nobody stopped it
    clock.stop(done=True)
    assert not (here / "seconds").exists()


def start(here, *arguments):
    (here / "long.py").write_text(LONG)
    return subprocess.Popen(
        [sys.executable, "long.py", *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"}, start_new_session=True,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def other_workers():
    options = {"dashboard": False}
    return LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", scheduler_kwargs=options
    )


def children(run):
    return psutil.Process(run.pid).children(recursive=True)


def busy(here):
    return len(list(here.glob("?.pid"))) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whoever_is_stopped_leaves_nothing_behind(here, number):
    run = start(here)
    until(lambda: busy(here))
    started = children(run)
    os.killpg(run.pid, number)  # as a terminal does
    errors = run.communicate(timeout=60)[1]
    until(lambda: gone(*here.glob("?.pid")))
    until(lambda: not any(child.is_running() for child in started))
    if number != signal.SIGKILL:
        assert run.returncode == 130
        assert errors.splitlines()[-1] == "stopped; what is done stays, and a second run goes on"
        assert "Traceback" not in errors


def test_an_interrupt_while_workers_start_is_no_traceback(here):
    run = start(here)
    until(lambda: children(run))
    os.killpg(run.pid, signal.SIGINT)
    until(lambda: busy(here))
    os.killpg(run.pid, signal.SIGINT)
    assert "Traceback" not in run.communicate(timeout=60)[1]
    assert run.returncode == 130


def test_a_worker_that_dies_while_it_starts_is_said_in_one_line(here):
    run = start(here)
    until(lambda: any("spawn_main" in " ".join(child.cmdline()) for child in children(run)))
    for child in children(run):
        if "spawn_main" in " ".join(child.cmdline()):
            child.kill()
    errors = run.communicate(timeout=60)[1]
    assert run.returncode == 1
    assert errors.splitlines()[-1] == "error: Nanny failed to start. Run it again"
    assert "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_of_another_scheduler_do_the_same(here, number):
    with other_workers() as others:
        run = start(here, others.scheduler_address)
        until(lambda: busy(here))
        run.send_signal(number)
        run.communicate(timeout=60)
        until(lambda: gone(*here.glob("?.pid")))


def test_a_scheduler_that_is_lost_or_not_there_is_said_in_one_line(here):
    with other_workers() as others:
        address = others.scheduler_address
        run = start(here, address)
        until(lambda: busy(here))
    errors = run.communicate(timeout=60)[1]
    assert re.match("error: item [abc]: the scheduler is gone; ", errors.splitlines()[-1])
    assert run.returncode == 1
    until(lambda: gone(*here.glob("?.pid")))
    with (
        pytest.raises(InputError, match=f"--scheduler {address}: no Dask scheduler answers"),
        cluster.workers(1, address),
    ):
        pass


def test_no_worker_is_refused():
    with pytest.raises(InputError, match="--jobs 0: must be 1 or more"), cluster.workers(0):
        pass
