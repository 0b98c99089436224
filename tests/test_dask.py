"""Partitions and parts filled by Dask's workers: what one machine gives, whatever happens."""

import importlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time

import dask.dataframe as dd
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest
from dask import config
from distributed import Client, LocalCluster

from vaefill import VAEImputer, dask
from vaefill.errors import InputError
from vaefill.filling import fill_table
from vaefill.streaming import fill_file

SIZE, COLOURS = 2100, ["red", "green", "blue"]
OPTIONS = {"draws": 2, "keep": ["id"]}


def table(rng, n_rows=SIZE):
    """Numbers, whole ones, categories and truth values with gaps; the index leaps."""
    x = rng.normal(size=(n_rows, 2)) @ np.array([[1, 0.8], [0, 0.3]])
    frame = pd.DataFrame(
        {
            "id": pd.Series([f"row {i}" for i in range(n_rows)]),
            "x": x[:, 0],
            "y": x[:, 1].astype(np.float32),
            "n": pd.array(rng.poisson(3, n_rows), "Int64"),
            "colour": pd.Categorical(rng.choice(COLOURS, n_rows), COLOURS),
            "yes": pd.array(x.sum(1) > 0, "boolean"),
        }
    )
    for name in frame.columns[1:]:
        frame.loc[rng.random(n_rows) < 0.2, name] = None
    frame.index = pd.Index(np.arange(n_rows) * 3, name="number")
    return frame


@pytest.fixture(scope="module")
def frame():
    return table(np.random.default_rng(0))


@pytest.fixture(scope="module")
def imputer(frame):
    return VAEImputer(max_iter=20, random_state=0).fit(frame.drop(columns="id"))


@pytest.fixture(scope="module")
def cluster():
    """Two workers in threads of this process, which start at once."""
    with LocalCluster(n_workers=2, processes=False, **dask.HERE) as cluster:
        yield cluster.scheduler_address


@pytest.mark.parametrize("n_partitions", [1, 2, 5])
@pytest.mark.parametrize("options", [{}, {"draws": 2, "interval": 0.8, "indicator": True}])
def test_partition_i_is_part_i(frame, imputer, n_partitions, options):
    lazy = dd.from_pandas(frame, npartitions=n_partitions)
    filled = dask.fill(lazy, imputer, keep=["id"], **options)
    for i, part in enumerate(dd.from_pandas(frame, npartitions=n_partitions).partitions):
        part = part.compute()
        arrow = pa.Table.from_pandas(part, preserve_index=False)
        expected = fill_table(imputer, arrow, part=i, keep=["id"], **options)
        found = filled.partitions[i].compute()
        assert found.index.equals(part.index.repeat(options.get("draws", 1)))
        found = pa.Table.from_pandas(found, schema=expected.schema, preserve_index=False)
        assert found.equals(expected)
    whole = filled.compute()
    pd.testing.assert_series_equal(whole.dtypes, filled.dtypes)
    assert filled.divisions == lazy.divisions
    assert whole.columns.equals(filled.columns)


def test_it_is_the_imputer_s_own_guess(frame, imputer):
    whole = dask.fill(dd.from_pandas(frame, npartitions=1), imputer, keep=["id"]).compute()
    expected = imputer.transform(frame.drop(columns="id"))
    pd.testing.assert_frame_equal(whole.drop(columns="id"), expected)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # Dask's own
def test_a_partition_keeps_its_number_when_dask_takes_some_or_reads_several_as_one(frame, tmp_path):
    numbers = frame[["x", "y"]].reset_index(drop=True)
    small = VAEImputer(max_iter=5, random_state=0).fit(numbers)
    parts = dd.from_pandas(numbers.assign(**{f"_{i}": 0.0 for i in range(20)}), npartitions=6)
    for i, part in enumerate(parts.partitions):
        part.compute().to_parquet(tmp_path / f"{i}.parquet", index=False)
    filled = dask.fill(dd.read_parquet(tmp_path)[["x", "y"]], small, draws=1)
    expected = dask.fill(dd.from_pandas(numbers, npartitions=6), small, draws=1).compute()
    pd.testing.assert_frame_equal(filled.compute().reset_index(drop=True), expected)
    last = filled.partitions[5].compute().reset_index(drop=True)
    pd.testing.assert_frame_equal(last, expected.tail(len(last)).reset_index(drop=True))


def test_partitions_without_rows_or_values_have_the_same_types(frame, imputer):
    lazy = dd.from_pandas(frame, npartitions=2)
    for lost in (
        lambda part: part[part.index > frame.index[-100]],
        lambda part: part.mask(part.notna()),
    ):
        filled = dask.fill(lazy.map_partitions(lost, meta=lazy._meta), imputer, keep=["id"])
        first = filled.partitions[0].compute()
        pd.testing.assert_series_equal(first.dtypes, filled.dtypes)
        assert not first.drop(columns="id").isna().any().any()


def test_every_scheduler_gives_the_same_and_gets_the_imputer_once(frame, imputer, cluster):
    filled = dask.fill(dd.from_pandas(frame, npartitions=3), imputer, keep=["id"], draws=1)
    tasks = [len(pickle.dumps(task)) for task in filled.__dask_graph__().values()]
    assert sum(tasks) < 1.5 * len(pickle.dumps(imputer)) + sys.getsizeof(pickle.dumps(frame))
    expected = filled.compute(scheduler="sync")
    for scheduler, n in (("threads", 2), ("processes", 1)):
        pd.testing.assert_frame_equal(filled.compute(scheduler=scheduler, num_workers=n), expected)
    with Client(cluster):
        pd.testing.assert_frame_equal(filled.compute(), expected)


@pytest.fixture(scope="module")
def parts(frame, tmp_path_factory):
    """Eight parts, in which no row is like another."""
    folder = tmp_path_factory.mktemp("table") / "parts"
    folder.mkdir()
    for i in range(8):
        rows = frame.iloc[i * 250 : (i + 1) * 250]
        rows.to_parquet(folder / f"part-{i}.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def expected(imputer, parts):
    """What one machine makes of them."""
    fill_file(imputer, parts, parts.with_name("one"), **OPTIONS)
    return contents(parts.with_name("one"))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Workers:
    """A scheduler and two workers, each a process of its own, as on a cluster."""

    def __init__(self, place):
        self.file = place / "scheduler.json"
        self.processes = [self.start("scheduler", "--port=0", "--no-dashboard")]
        self.processes += [self.start("worker", "--no-nanny", "--nthreads=1") for _ in range(2)]

    def start(self, kind, *options):
        command = ["dask", kind, "--host=127.0.0.1", f"--scheduler-file={self.file}", *options]
        return subprocess.Popen(
            [sys.executable, "-m", *command], cwd=self.file.parent, stderr=subprocess.DEVNULL
        )

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def workers(tmp_path):
    workers = Workers(tmp_path)
    until(workers.file.exists)
    yield workers
    workers.stop()


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_that_is_killed_changes_no_byte(imputer, parts, expected, workers, tmp_path):
    seen = []

    def kill(rows):
        seen.append(rows)
        with Client(scheduler_file=str(workers.file), set_as_default=False) as client:
            busy = client.processing()
            if len(seen) == 1:
                assert len(busy) == 2
                assert all(busy.values())  # each has parts before it
                victim = workers.processes[-1]
                os.kill(victim.pid, signal.SIGKILL)

    summary = dask.fill_directory(
        imputer, parts, tmp_path / "two", scheduler=str(workers.file), progress=kill, **OPTIONS
    )
    assert contents(tmp_path / "two") == expected
    assert not (tmp_path / "two.partial").exists()
    assert summary.rows == seen[-1] == 2000


def test_a_part_that_cannot_be_filled_is_named_and_the_others_are_kept(
    imputer, parts, expected, cluster, tmp_path
):
    shutil.copytree(parts, tmp_path / "parts")
    bad = tmp_path / "parts" / "part-7.parquet"
    pd.read_parquet(bad).drop(columns="colour").to_parquet(bad)
    run = {"imputer": imputer, "source": bad.parent, "target": tmp_path / "two", **OPTIONS}
    with pytest.raises(InputError, match=r"part-7.parquet.*colour.*--resume$") as error:
        dask.fill_directory(**run, scheduler=cluster)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"scheduler no:.*--resume$"):
        dask.fill_directory(**run, scheduler="no://scheduler", resume=True)
    shutil.copy(parts / bad.name, bad)
    kept = {path.name: path.stat().st_ino for path in (tmp_path / "two.partial/result").iterdir()}
    assert dask.fill_directory(**run, scheduler=cluster, resume=True).rows == 2000
    assert contents(tmp_path / "two") == expected
    assert kept.items() <= {p.name: p.stat().st_ino for p in (tmp_path / "two").iterdir()}.items()


@pytest.mark.slow
def test_without_its_scheduler_a_run_is_kept_and_goes_on_on_one_machine(
    imputer, parts, expected, workers, tmp_path
):
    def lose(rows):
        workers.stop()

    with pytest.raises(InputError, match=r"scheduler .*: lost; .* --resume$"):
        dask.fill_directory(
            imputer, parts, tmp_path / "two", scheduler=str(workers.file), progress=lose, **OPTIONS
        )
    assert (tmp_path / "two.partial").exists()
    fill_file(imputer, parts, tmp_path / "two", resume=True, **OPTIONS)
    assert contents(tmp_path / "two") == expected


#: Loses its workers after the first part.
LOCAL = """
import multiprocessing, sys
from vaefill import VAEImputer
from vaefill.dask import fill_directory

def lose(rows, workers=[]):
    if not workers:
        workers += multiprocessing.active_children()
        for worker in workers:
            worker.kill()

if __name__ == "__main__":
    imputer = VAEImputer.load(sys.argv[1])
    fill_directory(imputer, *sys.argv[2:], draws=2, keep=["id"], progress=lose)
"""


@pytest.mark.slow
def test_workers_of_this_machine_give_the_same_though_they_die_and_end(
    imputer, parts, expected, tmp_path
):
    imputer.save(tmp_path / "model.vaefill")
    (tmp_path / "local.py").write_text(LOCAL)
    command = [sys.executable, "-W", "error", "local.py", "model.vaefill", parts, "two"]
    # By Dask's own patience none would be there in time.
    env = {**os.environ, "DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT": "10ms"}
    with subprocess.Popen(command, cwd=tmp_path, env=env, start_new_session=True) as process:
        try:
            assert process.wait(300) == 0
        finally:
            process.kill()
    assert contents(tmp_path / "two") == expected
    until(lambda: not group(process.pid))


def group(number):
    """Processes of a session that run."""
    return [
        process
        for process in psutil.process_iter()
        if os.getsid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE
    ]


@pytest.mark.parametrize(
    ("source", "scheduler", "message"),
    [
        ("part-0.parquet", "local", "part-0.parquet: no directory of parts"),
        (".", "tcp://127.0.0.1:1", "scheduler tcp://127.0.0.1:1: none answers"),
        (".", "no.json", "no.json: no such file"),
        (".", "/", "/: not the file of a Dask scheduler"),
    ],
)
def test_what_cannot_be_reached_is_said_in_one_line(
    imputer, parts, source, scheduler, message, tmp_path
):
    with (
        config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(InputError, match=message),
    ):
        dask.fill_directory(imputer, parts / source, tmp_path / "two", scheduler=scheduler)
    assert not list(tmp_path.iterdir())


def test_a_file_of_something_else_is_no_scheduler(imputer, parts, tmp_path):
    for text in ("{}", "[]", '{"address": 1}'):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(InputError, match=r"x.json: (not the file of a Dask s|none answers)"):
            dask.fill_directory(
                imputer, parts, tmp_path / "two", scheduler=str(tmp_path / "x.json")
            )


def test_without_dask_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    monkeypatch.delitem(sys.modules, "vaefill.dask")
    with pytest.raises(InputError, match=r"pip install vaefill\[cluster\]$"):
        importlib.import_module("vaefill.dask")
