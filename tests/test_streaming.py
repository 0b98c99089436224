import csv
import gzip
import io
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from vaefill import VAEImputer
from vaefill.errors import FileError, InputError
from vaefill.files import partial, writing
from vaefill.files.partial import partial_path
from vaefill.filling import fill_table
from vaefill.image_imputer import ImageImputer
from vaefill.models.vae import VAE
from vaefill.streaming import Summary, fill_file
from vaefill.tables.completion import BLOCK

N = 2 * BLOCK + 100
NAMES = ("a", "b", "c")
TEXTS = ("=1+2", 'say "hi"', "x, y", "", "NA", " ü ")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(writing, "GROUP_ROWS", BLOCK)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(N, 1)) + 0.1 * rng.normal(size=(N, len(NAMES)))).round(3)
    columns = {
        name: pa.array(column, mask=rng.random(N) < 0.2)
        for name, column in zip(NAMES, values.T, strict=True)
    }
    return pa.table({**columns, "t": [TEXTS[i % len(TEXTS)] for i in range(N)]})


@pytest.fixture(scope="module")
def imputer(table):
    return VAEImputer(max_iter=5, random_state=0).fit(table.select(NAMES)[:300])


@pytest.fixture(scope="module")
def source(table, tmp_path_factory):
    """Return the table as files of each format."""
    folder = tmp_path_factory.mktemp("source")
    for ending in ("csv", "parquet", "arrow"):
        writing.write_file(folder / f"x.{ending}", [table], ending)
    writing.write_file(folder / "x.npy", [table.select(NAMES)], "npy", n_rows=N)
    return folder


def contents(path):
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in files}


def test_a_file_is_filled_as_its_table_is(imputer, table, source, tmp_path):
    options = {"keep": ["t"], "interval": 0.9, "indicator": True}
    done = []
    summary = fill_file(
        imputer, source / "x.parquet", tmp_path / "y.parquet", progress=done.append, **options
    )
    assert pq.read_table(tmp_path / "y.parquet").equals(fill_table(imputer, table, **options))
    assert done == [BLOCK, 2 * BLOCK, N]
    assert summary == Summary(N, sum(table[name].null_count for name in NAMES))
    assert [path.name for path in tmp_path.iterdir()] == ["y.parquet"]


@pytest.mark.parametrize(
    "names",
    [("x.csv", "y.csv"), ("x.csv", "y.csv.gz"), ("x.arrow", "y.parquet"), ("x.parquet", "y.arrow")],
)
def test_a_run_stopped_at_any_write_goes_on_to_the_same_bytes(
    imputer, source, tmp_path, monkeypatch, names
):
    run = {"imputer": imputer, "source": source / names[0], "draws": 2, "keep": ["t"]}
    fill_file(**run, target=tmp_path / names[1])
    expected = (tmp_path / names[1]).read_bytes()
    target = tmp_path / "again" / names[1]
    fsync, todo = os.fsync, []

    def stop_in_time(file):
        if not todo:
            raise KeyboardInterrupt
        todo.pop()
        fsync(file)

    monkeypatch.setattr(os, "fsync", stop_in_time)
    for n_writes in range(100):
        todo = [None] * min(n_writes, 3)  # it is stopped again and again
        try:
            fill_file(**run, target=target, resume=True)
        except KeyboardInterrupt:
            assert not target.exists()
        else:
            break
    assert n_writes > 3
    assert target.read_bytes() == expected
    assert not partial_path(target).exists()


def test_observed_cells_keep_their_text_byte_for_byte(imputer, tmp_path):
    rng = np.random.default_rng(1)
    odd = ("+1.50", "1e-1", "-0.0", "007", "1.", ".5", "", "NA")
    rows = [
        ["1.0" if all(cell in ("", "NA") for cell in row) else row[0], *row[1:], TEXTS[i % 6]]
        for i, row in enumerate(rng.choice(odd, (50, 3)).tolist())
    ]
    for separator in ",;\t":
        with (tmp_path / "x.csv").open("w", newline="") as file:
            csv.writer(file, delimiter=separator, lineterminator="\n").writerows(
                [[*NAMES, "t"], *rows]
            )
        fill_file(
            imputer,
            tmp_path / "x.csv",
            tmp_path / "y.csv",
            reading={"separator": separator},
            keep=["t"],
            force=True,
        )
        with (tmp_path / "y.csv").open(newline="") as file:
            header, *found = csv.reader(file, delimiter=separator)
        assert header == [*NAMES, "t"]
        for row, filled in zip(rows, found, strict=True):
            for cell, new in zip(row[:3], filled[:3], strict=True):
                assert np.isfinite(float(new)) if cell in ("", "NA") else new == cell
            assert filled[3] == row[3]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("x.csv", "y.csv"), b"a;b;c\n1;2,5;3\n"),
        (("x.csv", "y.tsv"), b"a\tb\tc\n1\t2,5\t3\n"),
        (("x.tsv", "y.csv"), b'a,b,c\n1,"2,5",3\n'),
        (("x.tsv", "y.tsv.gz"), b"a\tb\tc\n1\t2,5\t3\n"),
    ],
)
def test_separator_and_decimal_sign_are_those_of_the_input(imputer, tmp_path, names, expected):
    separator = ";" if names[0] == "x.csv" else "\t"
    (tmp_path / names[0]).write_text("a;b;c\n1;2,5;3\n".replace(";", separator))
    reading = {"separator": separator, "decimal": ","}
    fill_file(imputer, tmp_path / names[0], tmp_path / names[1], reading=reading)
    content = (tmp_path / names[1]).read_bytes()
    assert (gzip.decompress(content) if names[1].endswith(".gz") else content) == expected


def test_draws_stand_below_one_another(imputer, table, source, tmp_path):
    fill_file(imputer, source / "x.parquet", tmp_path / "y.csv", draws=3, keep=["t"])
    with (tmp_path / "y.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["draw"] for row in rows] == ["1", "2", "3"] * N
    assert [row["t"] for row in rows[::3]] == table["t"].to_pylist()
    gap = table["a"].is_null().index(True).as_py()
    assert len({row["a"] for row in rows[3 * gap : 3 * gap + 3]}) == 3


def test_a_directory_is_filled_part_by_part(imputer, table, tmp_path):
    parts = [table[:1500], table[:1500], table[:0]]
    for name, part in zip("abc", parts, strict=True):
        (tmp_path / "in").mkdir(exist_ok=True)
        pq.write_table(part, tmp_path / "in" / f"{name}.parquet")
    done = []
    options = {"draws": 1, "keep": ["t"]}
    summary = fill_file(imputer, tmp_path / "in", tmp_path / "out", progress=done.append, **options)
    assert summary.rows == 3000
    assert done == [1500, 3000, 3000]
    for number, (name, part) in enumerate(zip("abc", parts, strict=True)):
        found = pq.read_table(tmp_path / "out" / f"{name}.parquet")
        assert found.equals(fill_table(imputer, part, part=number, **options))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_a_directory_goes_on_with_the_parts_that_are_missing(imputer, source, tmp_path):
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / f"{name}.csv").write_bytes((source / "x.csv").read_bytes())
    run = {"imputer": imputer, "source": tmp_path / "in", "keep": ["t"], "format": "parquet"}
    fill_file(**run, target=tmp_path / "out")

    def stop(rows):
        if rows == 2 * N:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_file(**run, target=tmp_path / "again", progress=stop)
    assert not (tmp_path / "again").exists()
    assert fill_file(**run, target=tmp_path / "again", resume=True).rows == 3 * N
    for name in "abc":
        found, expected = (tmp_path / folder / f"{name}.parquet" for folder in ("again", "out"))
        assert found.read_bytes() == expected.read_bytes()


@pytest.fixture
def parts(source, tmp_path):
    """Three parts, of which the second has text among numbers, in its second chunk."""
    (tmp_path / "in").mkdir()
    whole = (source / "x.csv").read_text()
    lines = whole.splitlines(keepends=True)
    lines[BLOCK + 10] = "x,1,1,t\n"
    for name, text in {"a": whole, "b": "".join(lines), "c": whole}.items():
        (tmp_path / "in" / f"{name}.csv").write_text(text)
    return tmp_path / "in"


def test_a_part_is_mended_and_the_others_are_not_done_again(imputer, parts, tmp_path):
    run = {"imputer": imputer, "source": parts, "keep": ["t"]}
    place, bad = tmp_path / "out.partial", parts / "b.csv"
    with pytest.raises(InputError) as raised:
        fill_file(**run, target=tmp_path / "out")
    message = str(raised.value)
    assert message.startswith(f"{bad}: column 'a', row {BLOCK + 10} (line {BLOCK + 11}): 'x' is")
    assert message.endswith(f"; what is done is kept in {place}: go on with --resume")
    assert [path.name for path in (place / "result").iterdir()] == ["a.csv"]
    assert not (place / "1").exists()
    before = (place / "result" / "a.csv").stat()
    # What was filled already changes too, at the same length.
    bad.write_text(bad.read_text().replace("\nx,", "\n1,").replace(".", "9", 1))
    assert fill_file(**run, target=tmp_path / "out", resume=True).rows == 3 * N
    fill_file(**run, target=tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    after = (tmp_path / "out" / "a.csv").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_changed_is_filled_anew(imputer, source, parts, tmp_path):
    run = {"imputer": imputer, "source": parts, "keep": ["t"]}
    with pytest.raises(InputError, match="--resume"):
        fill_file(**run, target=tmp_path / "out")
    for name in "ab":  # of which one was done
        (parts / f"{name}.csv").write_text((source / "x.csv").read_text().replace(".", "9", 1))
    fill_file(**run, target=tmp_path / "out", resume=True)
    fill_file(**run, target=tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_bad_part_leaves_nothing_where_none_was_done(imputer, parts, tmp_path):
    (parts / "a.csv").unlink()
    with pytest.raises(InputError, match=r"b\.csv: .*; nothing was written$"):
        fill_file(imputer, parts, tmp_path / "out", keep=["t"])
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("name", ["in", "in/a.csv"])
def test_a_run_killed_when_all_was_done_ends_well(imputer, parts, tmp_path, monkeypatch, name):
    (parts / "b.csv").unlink()
    run = {"imputer": imputer, "source": tmp_path / name, "target": tmp_path / "out.csv"}
    with monkeypatch.context() as patch:
        patch.setattr(partial, "_remove", lambda place: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fill_file(**run, keep=["t"])
    assert (tmp_path / "out.csv").exists()
    before = contents(tmp_path / "out.csv")
    assert fill_file(**run, keep=["t"], resume=True).rows in (N, 2 * N)
    assert contents(tmp_path / "out.csv") == before
    assert not partial_path(tmp_path / "out.csv").exists()


def test_what_cannot_be_written_is_told_before_anything_is_filled(imputer, source, tmp_path):
    done = []
    with pytest.raises(InputError, match="an array has no place for string"):
        fill_file(imputer, source / "x.csv", tmp_path / "y.npy", keep=["t"], progress=done.append)
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="file: is a file; a directory becomes a directory"):
        fill_file(imputer, source, tmp_path / "file", force=True, progress=done.append)
    assert not done
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_two_parts_do_not_become_one(imputer, source, tmp_path):
    for name in ("a.1.csv", "a.2.csv", "a.1.parquet"):
        (tmp_path / name).touch()
    with pytest.raises(FileError, match=r"two parts would become a\.1\.arrow"):
        fill_file(imputer, tmp_path, tmp_path.parent / "out", format="arrow")


def test_standard_input_and_output_carry_text(imputer, source, tmp_path, monkeypatch):
    fill_file(imputer, source / "x.csv", tmp_path / "y.csv", keep=["t"])
    out = io.BytesIO()
    with (source / "x.csv").open("rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out, flush=lambda: None))
        assert fill_file(imputer, "-", "-", keep=["t"]).rows == N
    assert out.getvalue() == (tmp_path / "y.csv").read_bytes()
    with pytest.raises(InputError, match="standard output"):
        fill_file(imputer, source / "x.csv", "-", format="parquet", keep=["t"])


def test_a_full_disk_is_one_line_and_work_is_kept(imputer, source, tmp_path):
    run = {"imputer": imputer, "source": source / "x.parquet", "keep": ["t"]}
    fill_file(**run, target=tmp_path / "whole.csv")
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Each chunk finds a place, the result does not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with pytest.raises(FileError) as raised:
            fill_file(**run, target=tmp_path / "y.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    place = partial_path(tmp_path / "y.csv")
    assert str(raised.value) == (
        f"{tmp_path / 'y.csv'}: File too large;"
        f" what is done is kept in {place}: go on with --resume"
    )
    assert not (tmp_path / "y.csv").exists()
    fill_file(**run, target=tmp_path / "y.csv", resume=True)
    assert (tmp_path / "y.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_other_models_options_and_inputs_are_refused(imputer, table, source, tmp_path):
    other = VAEImputer(max_iter=5, random_state=1).fit(table.select(NAMES)[:300])
    pq.write_table(table, tmp_path / "other.parquet")
    run = {"imputer": imputer, "source": source / "x.parquet", "target": tmp_path / "y.csv"}

    def stop(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_file(**run, keep=["t"], progress=stop)
    for change, key in [
        ({"imputer": other}, "model"),
        ({"source": tmp_path / "other.parquet"}, "input"),
        ({"draws": 2}, "options"),
        ({"reading": {"missing": ["-1"]}}, "reading"),
    ]:
        with pytest.raises(FileError, match=f"of a run with {key} = "):
            fill_file(**{**run, "keep": ["t"], **change}, resume=True)


def test_bad_input_leaves_nothing(imputer, source, tmp_path):
    text = (source / "x.csv").read_text().splitlines(keepends=True)
    text[BLOCK + 10] = "x,1,1,t\n"
    (tmp_path / "x.csv").write_text("".join(text))
    with pytest.raises(InputError, match="'a'"):
        fill_file(imputer, tmp_path / "x.csv", tmp_path / "y.csv", keep=["t"])
    for target in (tmp_path / "x.csv", tmp_path / "x.csv" / "y"):
        with pytest.raises(FileError, match="is the input, or lies in it"):
            fill_file(imputer, tmp_path / "x.csv", target, keep=["t"], force=True)
    with pytest.raises(FileError, match="no such file"):
        fill_file(imputer, tmp_path / "none.csv", tmp_path / "y.csv")
    with pytest.raises(InputError, match="its name does not end in"):
        fill_file(imputer, tmp_path / "x.csv", tmp_path / "new" / "y.xyz")
    os.mkfifo(tmp_path / "pipe.csv")  # to open it would be to wait for ever
    with pytest.raises(FileError, match="is no file; read what is not by standard input"):
        fill_file(imputer, tmp_path / "pipe.csv", tmp_path / "y.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe.csv", "x.csv"]


def test_images_are_filled_in_blocks_of_their_own_seeds(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.random((BLOCK + 5, 4, 4), np.float32)
    images[:, 1:3, 1:3] = np.nan
    np.save(tmp_path / "x.npy", images)
    model = VAE(
        "gauss", pixels=16, hidden=[8], latent=2, generator=torch.Generator().manual_seed(0)
    )
    imputer = ImageImputer(model.eval(), method="single_pass", random_state=3)
    fill_file(imputer, tmp_path / "x.npy", tmp_path / "y.npy")
    found = np.load(tmp_path / "y.npy")
    expected = []
    for block in (0, 1):
        seed = int(np.random.SeedSequence([3, block]).generate_state(1)[0])
        part = images[block * BLOCK : (block + 1) * BLOCK]
        expected.append(
            ImageImputer(model, method="single_pass", random_state=seed).transform(part)
        )
    np.testing.assert_array_equal(found, np.concatenate(expected))
    with pytest.raises(InputError, match="leave out options"):
        fill_file(imputer, tmp_path / "x.npy", tmp_path / "z.npy", draws=2)


SCRIPT = """
import sys
from vaefill import VAEImputer
from vaefill.files import partial, writing
from vaefill.streaming import fill_file
writing.GROUP_ROWS = 1024
model, source, target = sys.argv[1:]
fill_file(VAEImputer.load(model), source, target, resume=True, draws=3, keep=["t"])
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_bytes(imputer, table, tmp_path):
    source, target, expected = (tmp_path / name for name in ("x.csv", "y.csv", "whole.csv"))
    writing.write_file(source, [table] * 12, "csv")
    imputer.save(tmp_path / "model")
    fill_file(imputer, source, expected, draws=3, keep=["t"])
    state = partial_path(target) / "0" / "done.json"
    killed = 0
    for wait in (0.0, 0.05, 0.11, 0.17):
        before = state.read_bytes() if state.exists() else b""
        command = [sys.executable, "-c", SCRIPT, tmp_path / "model", source, target]
        with subprocess.Popen(command) as process:
            while process.poll() is None and not (state.exists() and state.read_bytes() != before):
                time.sleep(0.005)
            time.sleep(wait)
            process.kill()
        killed += process.returncode == -signal.SIGKILL
        assert killed == 0 or not target.exists()
    assert killed >= 3
    subprocess.run(command, check=True)
    assert target.read_bytes() == expected.read_bytes()
    assert not partial_path(target).exists()
