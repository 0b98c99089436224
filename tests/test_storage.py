import errno
import io
import os

import numpy as np
import pytest

from vaefill import storage
from vaefill.errors import FileError

ARRAYS = {"a": np.arange(6).reshape(2, 3), "b": np.array([True, False])}


def test_arrays_come_back(tmp_path):
    storage.save_arrays(tmp_path / "deep" / "er" / "x.npz", ARRAYS)
    again = storage.load_arrays(tmp_path / "deep" / "er" / "x.npz")
    assert list(again) == ["a", "b"]
    storage.save_array(tmp_path / "x.npy", ARRAYS["a"])
    pairs = [(storage.load_array(tmp_path / "x.npy"), ARRAYS["a"])]
    for array, expected in pairs + [(again[name], ARRAYS[name]) for name in ARRAYS]:
        np.testing.assert_array_equal(array, expected, strict=True)
    # Nor is a temporary left.
    assert {path.name for path in tmp_path.rglob("*")} == {"deep", "er", "x.npz", "x.npy"}


def test_bytes_depend_on_the_content_alone(tmp_path):
    for name in ("one.npz", "another name.npz"):
        storage.save_arrays(tmp_path / name, ARRAYS)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "another name.npz").read_bytes()


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


class FullDisk(io.FileIO):
    def write(self, data):
        super().write(data[: len(data) // 2])
        full_disk()


@pytest.mark.parametrize("step", ["fsync", "write"])
def test_full_disk_leaves_the_good_file(tmp_path, monkeypatch, step):
    path = tmp_path / "x.npy"
    storage.save_array(path, np.zeros(3))
    good = path.read_bytes()
    if step == "fsync":
        monkeypatch.setattr(os, "fsync", full_disk)
    else:
        monkeypatch.setattr(type(path), "open", lambda self, mode: FullDisk(self, "w"))
    with pytest.raises(OSError, match="No space left"):
        storage.save_array(path, np.ones(3))
    monkeypatch.undo()
    assert path.read_bytes() == good
    assert list(tmp_path.iterdir()) == [path]


def test_directory_that_cannot_be_written_to(tmp_path):
    # A file in the directory's place stands for a missing permission, which root does not miss.
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match="taken"):
        storage.write_text(tmp_path / "taken" / "x.txt", "text")


@pytest.mark.parametrize(
    "load", [storage.load_arrays, storage.load_array, storage.load_json, storage.load_table]
)
def test_missing_file_is_named(tmp_path, load):
    with pytest.raises(FileError, match=r"x: no such file$"):
        load(tmp_path / "x")


@pytest.mark.parametrize("keep", [0, 5, 60, -30])
@pytest.mark.parametrize(
    ("load", "file", "other", "kind"),
    [
        (storage.load_arrays, "x.npz", "x.npy", r"an archive of arrays \(.npz\)"),
        (storage.load_array, "x.npy", "x.npz", r"an array \(.npy\)"),
    ],
)
def test_truncated_file_and_file_of_the_other_kind(tmp_path, load, file, other, kind, keep):
    storage.save_arrays(tmp_path / "x.npz", ARRAYS)
    storage.save_array(tmp_path / "x.npy", ARRAYS["a"])
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:keep])
    for name in (file, other):
        with pytest.raises(FileError, match=rf"{name}: not {kind} \(.*\); replace it$"):
            load(tmp_path / name)


def test_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "x.npz"
    storage.save_arrays(path, {"a": np.zeros(1000)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match="CRC"):
        storage.load_arrays(path)


def test_pickles_are_not_executed(tmp_path):
    with (tmp_path / "x.npy").open("wb") as file:
        np.save(file, np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match="not an array"):
        storage.load_array(tmp_path / "x.npy")


def test_json_is_sorted_and_has_six_digits(tmp_path):
    storage.save_json(tmp_path / "x.json", {"b": [1 / 3, 2], "a": {"c": None, "d": 123456789.0}})
    text = '{\n  "a": {\n    "c": null,\n    "d": 123457000.0\n  },\n'
    assert (tmp_path / "x.json").read_text() == text + '  "b": [\n    0.333333,\n    2\n  ]\n}\n'
    assert storage.load_json(tmp_path / "x.json")["b"] == [0.333333, 2]


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        storage.save_json(tmp_path / "x.json", {"a": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_table_comes_back(tmp_path):
    storage.save_table(tmp_path / "x.csv", ["name", "value"], [("a,b", 1 / 3), ("c", 2)])
    assert (tmp_path / "x.csv").read_bytes() == b'name,value\n"a,b",0.333333\nc,2\n'
    rows = storage.load_table(tmp_path / "x.csv")
    assert rows == [{"name": "a,b", "value": "0.333333"}, {"name": "c", "value": "2"}]


@pytest.mark.parametrize(
    ("load", "text", "message"),
    [
        (storage.load_json, "{", "not JSON"),
        (storage.load_table, "a,b\n1,2\n1\n", "line 3 does not have one value per column"),
        (storage.load_table, "a,b\n1,2\n1,2,3\n", "line 3 does not have one value per column"),
    ],
)
def test_broken_text_is_named(tmp_path, load, text, message):
    (tmp_path / "x").write_text(text)
    with pytest.raises(FileError, match=message):
        load(tmp_path / "x")
