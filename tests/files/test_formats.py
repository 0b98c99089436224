from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaefill.errors import FileError, InputError
from vaefill.files import columnar, text
from vaefill.files.formats import Format, find_format, find_parts, open_source

TABLE = pa.table(
    {
        "a": [*range(1000)],
        "b": [None if n % 7 == 0 else n / 8 for n in range(1000)],
        "c": pa.array([f"level {n % 3}" for n in range(1000)]).dictionary_encode(),
    }
)


def write(path: Path) -> Path:
    """One table in each format, cut anew in each."""
    if path.is_dir():
        for part in range(5):
            pq.write_table(TABLE.slice(part * 200, 200), path / f"{part}.parquet")
    elif path.suffix in (".gz", ".csv"):
        with pa.output_stream(path) as file:
            pyarrow.csv.write_csv(TABLE, file)
    elif path.suffix == ".parquet":
        pq.write_table(TABLE, path, row_group_size=130)
    elif path.suffix == ".npy":
        np.save(path, np.arange(3000.0).reshape(1000, 3))
    elif path.suffix == ".npz":
        np.savez(path, one=np.arange(1000), two=np.arange(2000.0).reshape((1000, 2), order="F"))
    else:
        with pa.ipc.new_file(path, TABLE.schema) as file:
            for batch in TABLE.unify_dictionaries().to_batches(max_chunksize=70):
                file.write(batch)
    return path


@pytest.fixture(
    scope="module", params=["a.csv", "a.csv.gz", "a.parquet", "a.arrow", "a.npy", "a.npz", "parts"]
)
def path(request, tmp_path_factory):
    place = tmp_path_factory.mktemp("files") / request.param
    if request.param == "parts":
        place.mkdir()
    return write(place)


@settings(max_examples=20, deadline=None)
@given(n_rows=st.integers(1, 1100), start=st.integers(0, 1100), cut=st.integers(40, 3000))
def test_batches_show_neither_how_they_nor_how_the_file_is_cut(path, n_rows, start, cut):
    whole = next(open_source(path).batches(1000))
    assert whole.num_rows == 1000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "READ_BYTES", cut)
        patch.setattr(columnar, "BATCH_ROWS", cut)
        found = list(open_source(path).batches(n_rows, start))
    sizes = [table.num_rows for table in found]
    assert all(size == n_rows for size in sizes[:-1])
    assert sum(sizes) == max(1000 - start, 0)
    rest = whole.slice(start)
    expected = [rest.slice(n, n_rows) for n in range(0, rest.num_rows, n_rows)]
    for one, other in zip(found, expected, strict=True):
        assert one.schema == other.schema
        assert one.to_pydict() == other.to_pydict()


def test_types_and_values_of_the_file_survive(tmp_path):
    for name in ("a.parquet", "a.arrow"):
        table = next(open_source(write(tmp_path / name)).batches(2000))
        assert table.schema == TABLE.schema
        assert table.to_pydict() == TABLE.to_pydict()


def test_formats_are_told_by_the_name_or_by_the_user():
    assert find_format("x.y/A.CSV.gz") == Format("csv", packed=True)
    assert find_format("a.tsv") == Format("csv", "\t")
    assert find_format("a.feather") == find_format("a", "arrow") == Format("arrow")
    assert find_format("-") == find_format("-", "csv") == Format("csv")
    with pytest.raises(InputError, match=r"a\.xlsx: its name does not end in one of csv, .*; give"):
        find_format("a.xlsx")
    with pytest.raises(InputError, match="format = 'sas': must be one of csv"):
        find_format("a.csv", "sas")


def test_a_directory_is_one_table_in_parts(tmp_path):
    (tmp_path / "b.csv").write_text("x,y\n3,4\n")
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    for name in (".a.csv", "_b.csv", "README.md"):
        (tmp_path / name).write_text("no table")
    assert [part.name for part in find_parts(tmp_path)] == ["a.csv", "b.csv"]
    source = open_source(tmp_path)
    assert source.text
    assert next(source.batches(5)).to_pydict() == {"x": ["1", "3"], "y": ["2", "4"]}
    (tmp_path / "c.csv").write_text("x,z\n1,2\n")
    with pytest.raises(FileError, match=r"c\.csv: other columns than in .*a\.csv"):
        open_source(tmp_path)


def test_a_row_of_a_table_in_parts_is_looked_for_in_its_part(tmp_path):
    for name, content in {"a.csv": "x\n1\n2\n", "b.csv": "x\n3\n4\n", "c.csv": "x\n5\n"}.items():
        (tmp_path / name).write_text(content)
    source = open_source(tmp_path)
    places = [source.place(row) for row in (2, 3, 5)]
    assert places == [
        f"row {row}"
        for row in ("2 (line 3) of a.csv", "1 (line 2) of b.csv", "1 (line 2) of c.csv")
    ]


def test_parts_with_gaps_where_others_have_numbers_fit_together(tmp_path):
    pq.write_table(pa.table({"x": pa.nulls(1)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"x": [0.5]}), tmp_path / "c.parquet")
    assert next(open_source(tmp_path).batches(5)).to_pydict() == {"x": [None, 1.0, 0.5]}
    pq.write_table(pa.table({"x": ["a"]}), tmp_path / "d.parquet")
    with pytest.raises(FileError, match="a column is of another type in another part"):
        open_source(tmp_path)


def test_a_broken_part_is_named(tmp_path):
    pq.write_table(TABLE, tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-30])
    with pytest.raises(FileError, match=r"b\.parquet: not a table"):
        open_source(tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "a.arrow", "a.npy", "a.npz"])
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01"])
def test_what_is_no_table_is_refused_in_one_line(tmp_path, name, content):
    path = tmp_path / name
    with pytest.raises(FileError, match="no such file"):
        open_source(path)
    path.write_bytes(content)
    with pytest.raises(FileError, match=rf"^\S*{name}: .*(not|empty)[^\n]*$"):
        list(open_source(path).batches(10))


def test_directories_without_tables_pipes_and_text_elsewhere_are_refused(tmp_path):
    with pytest.raises(FileError, match="no table in this directory"):
        open_source(tmp_path)
    with pytest.raises(FileError, match="/dev/null: is no file"):
        open_source("/dev/null")
    with pytest.raises(InputError, match="standard input must be text"):
        open_source("-", format="parquet")


@pytest.mark.parametrize("name", ["cut.parquet", "cut.arrow", "bad.arrow"])
def test_broken_files_are_refused_in_one_line(tmp_path, name):
    path = write(tmp_path / name)
    content = bytearray(path.read_bytes())
    if name == "bad.arrow":
        # Offsets and codes of categories are believed by nobody.
        for start in range(0, len(content) - 2000, 64):
            content[start + 8 : start + 12] = b"\x7f\x7f\x7f\x7f"
    else:
        del content[len(content) // 2 :]
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"^[^\n]*: not a table [^\n]*$"):
        list(open_source(path).batches(10))


def test_names_that_cannot_tell_columns_apart_and_too_many_are_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table([[1], [2]], names=["same", "same"]), path)
    with pytest.raises(FileError, match="two columns are called 'same'"):
        open_source(path)
    wide = tmp_path / "a.csv"
    wide.write_text(",".join(f"c{n}" for n in range(100_000)) + "\n")
    with pytest.raises(FileError, match="100000 columns; there must be 1 to 10000"):
        open_source(wide)


def test_rows_that_take_too_much_memory_are_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet")
    monkeypatch.setattr("vaefill.files.source.MAX_BYTES", 5000)
    with pytest.raises(FileError, match="rows of it take more than 5000 bytes"):
        list(open_source(path).batches(1000))
    assert sum(table.num_rows for table in open_source(path).batches(10)) == 1000


def test_a_huge_cell_of_a_small_file_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": ["0" * 10**7]}), path)
    assert path.stat().st_size < 10**6
    monkeypatch.setattr(columnar, "MAX_BYTES", 10**6)
    with pytest.raises(FileError, match="1 rows of it take more than 1000000 bytes"):
        list(open_source(path).batches(10))
