import csv
import gzip
import io
import os
import sys

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaefill.errors import FileError, InputError
from vaefill.files import text
from vaefill.files.formats import open_source

CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
#: Never freed: a thread of Arrow's that reads ahead goes on with it when the reader is gone.
POOL = pa.proxy_memory_pool(pa.default_memory_pool())


def read(path, **options):
    source = open_source(path, **options)
    return pa.concat_tables([source.schema.empty_table(), *source.batches(7)]).to_pydict()


@pytest.fixture
def table(tmp_path):
    def write(content, name="a.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=20),
    separator=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    packed=st.booleans(),
)
def test_cells_are_those_that_pythons_own_writer_wrote(
    tmp_path_factory, rows, separator, end, packed
):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b,;|c", "d"), *rows])
    content = out.getvalue().encode()
    path = tmp_path_factory.mktemp("text") / ("a.csv.gz" if packed else "a.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    expected = dict(zip(("a", "b,;|c", "d"), map(list, columns), strict=True))
    assert read(path) == expected


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("a;b\n1,5;2\n", {}, {"a": ["1,5"], "b": ["2"]}),
        ("a\tb\n1\t2", {}, {"a": ["1"], "b": ["2"]}),
        ("a,x|b\n1|2\n", {"decimal": ","}, {"a,x": ["1"], "b": ["2"]}),
        ("a b:c\n1:2\n", {"separator": ":"}, {"a b": ["1"], "c": ["2"]}),
        ("\ufeffa,b\r\n1,NA\r\n", {}, {"a": ["1"], "b": ["NA"]}),
        ('\n\n"a\n,",b\n\n1,2\n\n', {}, {"a\n,": ["1"], "b": ["2"]}),
        ("\n\na\n1\n\n3\n", {}, {"a": ["1", "", "3"]}),
        (",b\n=1+1, x \n", {}, {"": ["=1+1"], "b": [" x "]}),
        ("é,b\nü,1\n".encode("latin-1"), {"encoding": "latin-1"}, {"é": ["ü"], "b": ["1"]}),
        ("é,b\nü,1\n".encode("utf-16"), {"encoding": "utf-16"}, {"é": ["ü"], "b": ["1"]}),
        ("../a,b\n", {}, {"../a": [], "b": []}),
    ],
)
def test_what_people_call_csv(table, content, options, expected):
    assert read(table(content), **options) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n\n", "is empty; the first line must name the columns"),
        ("a,b,a\n1,2,3\n", "two columns are called 'a'; give each its own name"),
        ('\n"a\nb",c\n1,"2\n3"\n\n4,5,6\n', "line 7 has 3 in place of 2 cells; mend it"),
        ("a,b\n" + "1,2\n" * 500 + "1\n", "line 502 has 1 in place of 2 cells"),
        ("a,b\n1," + "x" * 9000, "a row is longer than 2000 bytes; is a quote not closed?"),
        ('a,b\n1,"' + "x\n" * 3000, "a row is longer than 2000 bytes"),
        ("a" * 200_000, "the header cannot be read"),
        ("a,b\n1,2\ná,1\n".encode("latin-1"), "is not text in utf-8; .* such as latin-1"),
        (b"a,b\n" + b"1,2\n" * 999 + b"\xff,1\n", "is not text in utf-8; .* such as latin-1"),
        ("a,b\n1,2\n".encode("utf-16"), "is not text in utf-8; .* such as utf-16"),
    ],
)
def test_bad_text_is_refused_in_one_line(table, monkeypatch, content, message):
    if len(content) < 100_000:
        monkeypatch.setattr(text, "READ_BYTES", 2000)
    with pytest.raises(FileError, match=rf"^\S*a\.csv: {message}[^\n]*$"):
        read(table(content))


def test_a_separator_or_encoding_that_is_none_is_refused(table):
    path = table("a,b\n1,2\n")
    with pytest.raises(InputError, match="separator = ',': must be one character, and not ','"):
        open_source(path, separator=",", decimal=",")
    with pytest.raises(InputError, match="encoding = 'klingon': there is none of this name"):
        open_source(path, encoding="klingon")


def test_lines_of_rows_are_known(table):
    source = open_source(table('\na,b\n1,"x\n\ny"\n\n2,3\n'))
    places = [source.place(row) for row in (1, 2, 3)]
    assert places == ["row 1 (line 3)", "row 2 (line 7)", "row 3"]


def test_a_bomb_is_read_in_bounded_memory(table):
    # A hundred megabytes out of a hundred kilobytes, as one cell.
    bomb = table(gzip.compress(b"a,b\n1," + b"0" * 10**8, 1), "a.csv.gz")
    usual = pa.default_memory_pool()
    pa.set_memory_pool(POOL)
    try:
        with pytest.raises(FileError, match="a row is longer than"):
            read(bomb)
    finally:
        pa.set_memory_pool(usual)
    assert 0 < POOL.max_memory() < 10**7


def test_a_truncated_archive_is_refused(table):
    path = table(gzip.compress(b"a,b\n" + b"1,2\n" * 10_000)[:-12], "a.csv.gz")
    with pytest.raises(FileError, match=r"a\.csv\.gz: not a table \(Compressed file ended"):
        read(path)


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input_is_read_as_it_comes_and_once(monkeypatch, packed):
    content = b"a,b\n1,2\n3,4\n"
    receiver, sender = os.pipe()
    for byte in gzip.compress(content) if packed else content:
        os.write(sender, bytes([byte]))
    os.close(sender)
    with open(receiver) as file:
        monkeypatch.setattr(sys, "stdin", file)
        source = open_source("-", format="csv.gz" if packed else None)
        (found,) = source.batches(5)
        assert found.to_pydict() == {"a": ["1", "3"], "b": ["2", "4"]}
        with pytest.raises(FileError, match="closed file"):
            next(source.batches(5))
        assert not file.closed
