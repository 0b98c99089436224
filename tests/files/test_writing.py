import csv
import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaefill.errors import InputError
from vaefill.files import writing
from vaefill.files.writing import read_chunks, write_chunk, write_file, write_tables
from vaefill.storage import load_arrays

NUMBERS = pa.table({"a": np.arange(3000) / 7, "b": pa.array(range(3000), pa.int32())})
MIXED = NUMBERS.append_column("c", pa.array(["=1+2", 'say "hi"', None] * 1000).dictionary_encode())
READERS = {
    "csv": lambda path: pa.Table.from_pylist(list(csv.DictReader(path.read_text().splitlines()))),
    "parquet": pq.read_table,
    "arrow": lambda path: pa.ipc.open_file(path).read_all(),
    "npy": np.load,
    "npz": lambda path: load_arrays(path)["arr_0"],
}


def cut(table, sizes):
    starts = np.cumsum([0, *sizes])
    return [table.slice(a, n) for a, n in zip(starts, [*sizes, None], strict=True)]


@pytest.mark.parametrize(
    ("format", "packed"), [("csv", True), *((name, False) for name in READERS)]
)
def test_bytes_do_not_depend_on_how_rows_were_cut(tmp_path, format, packed, monkeypatch):
    monkeypatch.setattr(writing, "GROUP_CELLS", 3 * 1024)
    table = NUMBERS if format.startswith("np") else MIXED
    written = []
    for sizes in ([], [1], [1024, 1024], [700, 0, 700]):
        paths = [tmp_path / f"{n}.arrow" for n in range(len(sizes) + 1)]
        for path, part in zip(paths, cut(table, sizes), strict=True):
            write_chunk(path, part)
        write_file(tmp_path / "x", read_chunks(paths), format, packed=packed, n_rows=3000)
        written.append((tmp_path / "x").read_bytes())
    assert set(written) == {written[0]}


@pytest.mark.parametrize("format", READERS)
def test_what_is_written_is_read_back(tmp_path, format):
    table = NUMBERS if format.startswith("np") else MIXED
    write_file(tmp_path / "x", [table], format, n_rows=3000)
    found = READERS[format](tmp_path / "x")
    if format.startswith("np"):
        np.testing.assert_array_equal(found, np.column_stack([c.to_numpy() for c in table.columns]))
    elif format == "csv":
        assert found.column("a").cast("float64").equals(table.column("a"))
        assert found.column("c").to_pylist() == ["=1+2", 'say "hi"', ""] * 1000
    else:
        assert found.equals(table)
        assert found.schema.equals(table.schema)


@given(
    rows=st.lists(
        st.tuples(st.text("a,;\t\"'\r\n =é", max_size=4), st.text(max_size=4)), min_size=1
    ),
    width=st.integers(1, 2),
    separator=st.sampled_from(",;\t|"),
)
def test_any_text_comes_back_through_pythons_reader(rows, width, separator):
    rows = [tuple(cell.replace("\0", "") for cell in row[:width]) for row in rows]
    names = ["first", 'the "second"'][:width]
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    file = io.BytesIO()
    write_tables(file, [pa.table(columns, names=names)], "csv", separator=separator)
    text = io.StringIO(file.getvalue().decode(), newline="")
    assert list(csv.reader(text, delimiter=separator)) == [names, *map(list, rows)]


def test_text_takes_only_the_quotes_that_it_needs():
    file = io.BytesIO()
    table = pa.table({"x": [1.5, None, 1e20], "a;b": ["-1", "@x", "1,5"], "n": [1, 2, 3]})
    write_tables(file, [table], "csv", separator=";", decimal=",")
    assert file.getvalue() == b'x;"a;b";n\n1,5;-1;1\n;@x;2\n1e+20;1,5;3\n'


def test_images_become_an_array_of_their_shape(tmp_path):
    images = np.random.default_rng(0).random((7, 3, 2), np.float32)
    tables = [writing.as_images(part) for part in (images[:4], images[4:])]
    write_file(tmp_path / "x.npy", tables, "npy", n_rows=7)
    found = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(found, images)
    assert found.dtype == np.float32


@pytest.mark.parametrize("format", READERS)
def test_a_table_without_rows_is_a_file(tmp_path, format):
    table = NUMBERS.slice(0, 0) if format.startswith("np") else MIXED.slice(0, 0)
    write_chunk(tmp_path / "0", table)
    write_file(tmp_path / "x", read_chunks([tmp_path / "0"]), format, n_rows=0)
    assert len(READERS[format](tmp_path / "x")) == 0


def test_an_array_has_no_place_for_text_or_gaps_between_integers(tmp_path):
    for column in (["a"], pa.array([1, None])):
        with pytest.raises(InputError, match=r"column 'x': an array has no place for"):
            write_file(tmp_path / "x.npy", [pa.table({"x": column})], "npy", n_rows=1)
    assert not list(tmp_path.iterdir())


def test_nested_columns_have_no_place_in_text(tmp_path):
    with pytest.raises(InputError, match="csv has no place for"):
        write_file(tmp_path / "x.csv", [pa.table({"x": [{"y": 1}]})], "csv")


def test_a_wide_table_is_cut_into_fewer_rows():
    schemas = [pa.schema([(f"x{i}", pa.float64()) for i in range(n)]) for n in (0, 64, 128, 9000)]
    assert list(map(writing.group_rows, schemas)) == [65536, 65536, 32768, 1024]


def test_gzip_has_no_date_and_no_name(tmp_path):
    write_file(tmp_path / "x.csv.gz", [NUMBERS], "csv", packed=True)
    write_file(tmp_path / "x.csv", [NUMBERS], "csv")
    content = (tmp_path / "x.csv.gz").read_bytes()
    assert content[3:8] == bytes(5)
    assert gzip.decompress(content) == (tmp_path / "x.csv").read_bytes()
