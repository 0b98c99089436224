import io
import pickle
import zipfile

import numpy as np
import pytest

from vaefill.errors import FileError
from vaefill.files import arrays
from vaefill.files.formats import open_source
from vaefill.files.source import ImageSource


def header(path, shape, dtype="<f8"):
    with path.open("wb") as file:
        described = {"descr": dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, described)
    return path


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i2", "?", "<U3"])
def test_an_array_is_a_table_of_its_columns(tmp_path, order, dtype):
    array = np.arange(12).reshape(4, 3).astype(dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", array)
    for name in ("a.npy", "a.npz"):
        (table,) = open_source(tmp_path / name).batches(9)
        assert table.column_names == ["x0", "x1", "x2"]
        assert np.array_equal(np.stack([c.to_numpy() for c in table.columns], 1), array)


def test_records_and_archives_name_their_columns(tmp_path):
    np.save(tmp_path / "a.npy", np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]))
    assert next(open_source(tmp_path / "a.npy").batches(9)).to_pydict() == {"a": [1], "b": [2.5]}
    np.savez(tmp_path / "a.npz", X=np.ones((2, 2)), y=np.zeros(2, int))
    assert open_source(tmp_path / "a.npz").names == ("X0", "X1", "y")


def test_three_axes_are_images(tmp_path):
    images = np.random.default_rng(0).random((5, 2, 3))
    np.save(tmp_path / "a.npy", images)
    source = open_source(tmp_path / "a.npy")
    assert isinstance(source, ImageSource)
    assert [len(batch) for batch in source.batches(2, 1)] == [2, 2]
    assert np.array_equal(np.concatenate(list(source.batches(2))), images)


class Harm:
    def __reduce__(self):
        return (pytest.fail, ("executed",))


def test_nothing_is_executed(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([Harm()], dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match=r"^\S*a\.npy: not a table .*objects"):
        open_source(path)
    np.savez(tmp_path / "a.npz", np.array([Harm()], dtype=object))
    with pytest.raises(FileError, match=r"^\S*a\.npz: not a table"):
        open_source(tmp_path / "a.npz")
    path.write_bytes(pickle.dumps(Harm()))
    with pytest.raises(FileError, match=r"not a table \(the magic string is not correct"):
        open_source(path)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((10**15, 3), "<f8", "not a table .mmap length is greater than file size"),
        ((10**25, 3), "<f8", "not a table"),
        ((0, 10**9), "<f8", "1000000000 columns; there must be 1 to 10000"),
        ((10**15, 0, 5), "<f8", "rows without anything in them"),
        ((10**15,), "<U0", "rows without anything in them"),
        ((-1, 5), "<f8", "not a table"),
        ((), "<f8", "not a table"),
    ],
)
def test_an_absurd_header_is_refused_at_once(tmp_path, shape, dtype, message):
    path = header(tmp_path / "a.npy", shape, dtype)
    with pytest.raises(FileError, match=rf"^\S*a\.npy: {message}[^\n]*$"):
        open_source(path)


def test_shapes_and_types_that_are_no_table_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((1, 1, 1, 1)))
    with pytest.raises(FileError, match=r"holds 'x' \(1, 1, 1, 1\); columns need arrays of one"):
        open_source(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", a=np.ones(2), b=np.ones(3))
    with pytest.raises(FileError, match=r"holds 'a' \(2,\), 'b' \(3,\); columns need arrays of"):
        open_source(tmp_path / "a.npz")
    np.save(tmp_path / "c.npy", np.ones((2, 2), complex))
    with pytest.raises(FileError, match=r"not a table \(Unsupported numpy type"):
        open_source(tmp_path / "c.npy")


def test_archives_that_unpack_to_more_than_they_may_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, np.zeros((1000, 3)))
    monkeypatch.setattr(arrays, "MAX_UNPACKED", 20_000)
    with pytest.raises(FileError, match=r"24128 bytes unpacked, more than 20000; save it as \.npy"):
        open_source(path)
    # The array is larger than what the archive says of it.
    lie = header(tmp_path / "lie.npy", (10**14,))
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(lie, "a.npy")
    with pytest.raises(FileError, match=r"not a table \(Unable to allocate"):
        open_source(path)


def test_a_header_that_python_2_wrote_is_read_without_a_word(tmp_path):
    content = io.BytesIO()
    np.save(content, np.arange(6.0).reshape(3, 2))
    old = content.getvalue().replace(b"(3, 2), }  ", b"(3L, 2L), }")
    assert old != content.getvalue()
    (tmp_path / "old.npy").write_bytes(old)
    assert next(open_source(tmp_path / "old.npy").batches(9)).to_pydict() == {
        "x0": [0, 2, 4],
        "x1": [1, 3, 5],
    }
