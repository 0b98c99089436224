"""Files that no program wrote, or one that means harm: a table, or one line that says why not."""

import gzip
import io
import resource
import subprocess
import sys
import zipfile

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from benchmarks.fuzz import attempt, make_tables, read_table
from vaefill.errors import InputError
from vaefill.files.formats import open_source
from vaefill.files.writing import write_file

TABLES = make_tables()


@pytest.fixture
def place(tmp_path):
    (tmp_path / "alone").mkdir()
    return tmp_path / "alone"


@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file")  # of Python 2, says NumPy
@settings(
    max_examples=400,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data(), st.sampled_from(sorted(TABLES)))
def test_damaged_files_are_tables_or_refused_in_one_line(place, data, kind):
    content = bytearray(TABLES[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        start, stop = sorted(data.draw(st.integers(0, len(content))) for _ in "ab")
        content[start : min(stop, start + 16)] = data.draw(
            st.binary(max_size=9) | st.sampled_from([b'"', b"\n", b"\r", b",", b"\0", b"\xff" * 8])
        )
    content = content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))]
    for path in place.iterdir():
        path.unlink()
    attempt(read_table, place / f"table.{kind}", bytes(content))


def test_what_the_damage_is_done_to_is_read(place):
    for kind, content in TABLES.items():
        path = place / f"table.{kind}"
        assert attempt(read_table, path, content) is None
        path.unlink()


#: Reads a table with no more memory than is there, and tells how much of it was taken.
READING = """
import resource, sys
from pathlib import Path
from benchmarks.fuzz import read_table
from vaefill.errors import InputError
def taken(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = taken()
try:
    print(read_table(Path(sys.argv[1])))
except InputError as error:
    print(error)
print(taken() - before)
"""


def read_apart(path):
    """Read a table in a process of its own; give what it says, and how many megabytes it took."""
    limit = 8 << 30
    done = subprocess.run(
        [sys.executable, "-c", READING, path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 0, done.stderr
    said, megabytes = done.stdout.splitlines()
    return said, int(megabytes)


def pack(path, start, filling, times):
    """Write a .gz of a few bytes in which much is packed: all members but one alike."""
    once = gzip.compress(filling * 1_000_000, mtime=0)
    path.write_bytes(gzip.compress(start, mtime=0) + once * times)


@pytest.mark.parametrize(
    ("start", "filling", "message"),
    [
        (b"a,b\n", b"\0", "is not text"),
        (b"a,b\n1,", b"0", "a row is longer than"),
        (b'a,b\n1,"', b"\n", "a row is longer than"),
        (b"a", b",a", "columns"),
    ],
    ids=["zeros", "a long cell", "a quote left open", "a header"],
)
def test_ten_gigabytes_in_a_small_gz_take_little_memory(tmp_path, start, filling, message):
    pack(tmp_path / "t.csv.gz", start, filling, 10_000 // len(filling))
    said, megabytes = read_apart(tmp_path / "t.csv.gz")
    assert message in said
    assert megabytes < 200


def test_many_rows_in_a_small_gz_take_little_memory(tmp_path):
    pack(tmp_path / "t.csv.gz", b"a,b\n", b"0,0\n", 2500)
    said, megabytes = read_apart(tmp_path / "t.csv.gz")
    assert int(said) > 1000
    assert megabytes < 200


def test_a_cell_of_two_gigabytes_takes_little_memory(tmp_path):
    with (tmp_path / "t.csv").open("wb") as file:
        file.write(b'a,b\n1,"' + b"x" * (2 << 20))
        file.truncate(2 << 30)
    said, megabytes = read_apart(tmp_path / "t.csv")
    assert "a row is longer than" in said
    assert megabytes < 200


def test_an_archive_that_unpacks_to_much_is_not_unpacked(tmp_path):
    path = tmp_path / "t.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("x.npy", header((10**15,)) + bytes(1000))
        archive.writestr("y.npy", bytes(1 << 20))
    content = path.read_bytes()
    # It says of itself that there are four gigabytes.
    path.write_bytes(content.replace((1 << 20).to_bytes(4, "little"), b"\xf0\xff\xff\xff"))
    with pytest.raises(InputError, match="bytes unpacked, more than"):
        open_source(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a table"):
        open_source(path)


def header(shape, dtype="<f8"):
    file = io.BytesIO()
    described = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)
    return file.getvalue()


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((10**15, 3), "<f8"),
        ((0, 10**9), "<f8"),
        ((10**15,), "<U0"),
        ((10**15, 0, 5), "<f8"),
        ((-1, 3), "<f8"),
        ((10**15,), []),
    ],
)
def test_arrays_of_absurd_size_are_refused(tmp_path, shape, dtype):
    (tmp_path / "t.npy").write_bytes(header(shape, dtype))
    with pytest.raises(InputError) as caught:
        read_table(tmp_path / "t.npy")
    assert "\n" not in str(caught.value)


def test_nothing_in_an_array_is_executed(tmp_path):
    np.save(tmp_path / "t.npy", np.array([print], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "t.npz", x=np.array([print], dtype=object), allow_pickle=True)
    for name in ("t.npy", "t.npz"):
        with pytest.raises(InputError, match="not a table"):
            open_source(tmp_path / name)


def test_a_hundred_thousand_columns_are_refused(tmp_path):
    names = [f"c{number}" for number in range(100_000)]
    (tmp_path / "t.csv").write_text(f"{','.join(names)}\n{',' * 99_999}\n")
    np.save(tmp_path / "t.npy", np.zeros((1, 100_000)))
    for name in ("t.csv", "t.npy"):
        with pytest.raises(InputError, match="100000 columns; there must be 1 to 10000"):
            open_source(tmp_path / name)


@pytest.mark.parametrize("encoding", ["zlib", "base64", "rot13", "utf-16", "undefined", "a\0b", ""])
def test_encodings_that_are_none_or_another_are_refused(tmp_path, encoding):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="encoding"):
        open_source(tmp_path / "t.csv", encoding=encoding)


def test_a_ragged_row_that_is_not_text_is_told_of_in_one_line(tmp_path, capfd):
    (tmp_path / "t.csv").write_bytes(b"a,b\n" + b"1,2\n" * 300_000 + b"\xff,2,3\n")
    with pytest.raises(InputError, match="line 300002 has 3 in place of 2 cells"):
        list(open_source(tmp_path / "t.csv").batches(9))
    assert capfd.readouterr().err == ""


def test_parquet_that_lies_of_its_columns_does_not_abort(place):
    # One of these twos says that a column has gaps, which its statistics then contradict.
    content = TABLES["parquet"]
    for number, byte in enumerate(content):
        if byte == 2:
            damaged = content[:number] + b"\0" + content[number + 1 :]
            attempt(read_table, place / "t.parquet", damaged)


def test_text_that_is_none_is_refused_when_it_is_read(tmp_path):
    text = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    pq.write_table(pa.table({"a": text}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="Invalid UTF8"):
        list(open_source(tmp_path / "t.parquet").batches(9))


#: Names that are paths, pages, commands of a terminal or of a spreadsheet.
NAMES = (
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "\x1b[2J\x07",
    "=HYPERLINK(1)",
    "$x^{",
    "_",
)
CELLS = ('=cmd|"/c calc"!A1', "@SUM(1)", "+1-1", "-2+3", "\x1b]0;x\x07", "<b>")


def test_formulas_and_strange_names_come_out_byte_for_byte(tmp_path):
    rows = [NAMES, CELLS, CELLS[::-1]]
    quoted = [['"{}"'.format(c.replace('"', '""')) if '"' in c else c for c in row] for row in rows]
    content = "".join(",".join(row) + "\n" for row in quoted).encode()
    (tmp_path / "t.csv").write_bytes(content)
    source = open_source(tmp_path / "t.csv")
    assert source.names == NAMES
    write_file(tmp_path / "again.csv", source.batches(1), "csv")
    assert (tmp_path / "again.csv").read_bytes() == content
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv", "again.csv"}


def test_nested_columns_are_read_and_named_where_they_cannot_be_used(tmp_path):
    nested = pa.table({"a": [1.0, 2.0], "n": [[1, 2], [3]], "s": [{"x": 1}, {"x": None}]})
    pq.write_table(nested, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet") == 2
    with pytest.raises(InputError, match="csv has no place for this table"):
        write_file(tmp_path / "t.csv", open_source(tmp_path / "t.parquet").batches(9), "csv")
