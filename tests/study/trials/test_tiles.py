import numpy as np
import pytest
from PIL import Image

from study.trials.tiles import load_tiles, save_tiles
from vaefill.errors import InputError


def random_tiles(rows, columns, height=28, width=28):
    shape = (rows, columns, height, width)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(10, 6, 28, 28), (1, 1, 28, 28), (2, 3, 4, 5)])
def test_tiles_come_back_as_they_were(tmp_path, shape):
    tiles = random_tiles(*shape)
    save_tiles(tmp_path / "new" / "sheet.png", tiles)
    back = load_tiles(tmp_path / "new" / "sheet.png", height=shape[2], width=shape[3])
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, tiles)


def test_a_person_sees_the_tiles_side_by_side(tmp_path):
    tiles = random_tiles(2, 3)
    save_tiles(tmp_path / "sheet.png", tiles)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert (sheet.format, sheet.mode, sheet.size) == ("PNG", "L", (84, 56))
        np.testing.assert_array_equal(sheet, np.block([[*row] for row in tiles]))


def test_same_tiles_same_bytes_and_nothing_else_in_the_directory(tmp_path):
    save_tiles(tmp_path / "a.png", random_tiles(2, 2))
    save_tiles(tmp_path / "b.png", random_tiles(2, 2))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "tiles",
    [np.zeros((2, 2, 28, 28)), np.zeros((28, 28), np.uint8), np.zeros((0, 2, 28, 28), np.uint8)],
    ids=["float", "one image", "none"],
)
def test_other_arrays_are_refused_and_the_old_file_stays(tmp_path, tiles):
    path = tmp_path / "sheet.png"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="must be uint8"):
        save_tiles(path, tiles)
    assert path.read_bytes() == b"old"


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.png: no such file"):
        load_tiles(tmp_path / "none.png")


def save_as(path, mode, size, kind="PNG"):
    Image.new(mode, size).save(path, format=kind)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: path.write_bytes(b""), "cannot identify"),
        (lambda path: path.write_text("no image"), "cannot identify"),
        (lambda path: save_as(path, "L", (56, 56), "JPEG"), "cannot identify"),
        (lambda path: save_as(path, "RGB", (56, 56)), "mode is RGB"),
        (lambda path: save_as(path, "1", (56, 56)), "mode is 1"),
    ],
    ids=["empty", "text", "jpeg", "colour", "one bit"],
)
def test_other_files_are_refused_in_one_line(tmp_path, write, reason):
    write(tmp_path / "sheet.png")
    with pytest.raises(InputError, match=rf"sheet\.png: not a grey PNG \(.*{reason}") as caught:
        load_tiles(tmp_path / "sheet.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(57, 56), (56, 55), (27, 28)])
def test_a_sheet_of_parts_of_tiles_is_refused(tmp_path, size):
    save_as(tmp_path / "sheet.png", "L", size)
    with pytest.raises(InputError, match="not a whole number of tiles of 28 x 28"):
        load_tiles(tmp_path / "sheet.png")


def test_damage_never_gives_other_pixels(tmp_path):
    path, tiles = tmp_path / "sheet.png", random_tiles(1, 2, 8, 8)
    save_tiles(path, tiles)
    content = path.read_bytes()
    damaged = [content[:end] for end in range(len(content) - 12)]  # 12 bytes: the end mark
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        damaged.append(bytes(flipped))
    refused = 0
    for bad in damaged:
        path.write_bytes(bad)
        try:
            np.testing.assert_array_equal(load_tiles(path, height=8, width=8), tiles)
        except InputError:
            refused += 1
    assert refused > 0.9 * len(damaged)
