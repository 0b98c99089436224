import numpy as np
import pytest
from PIL import Image

from study.trials.tiles import load_tiles, save_tiles
from vaefill.errors import InputError


def random_tiles(rows, columns, height=28, width=28):
    shape = (rows, columns, height, width)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(10, 6, 28, 28), (1, 1, 28, 28), (2, 3, 4, 5)])
def test_tiles_come_back_as_they_were_and_a_person_sees_them_side_by_side(tmp_path, shape):
    tiles = random_tiles(*shape)
    path = tmp_path / "new" / "sheet.png"
    save_tiles(path, tiles)
    back = load_tiles(path, height=shape[2], width=shape[3])
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, tiles)
    with Image.open(path) as sheet:
        assert (sheet.format, sheet.mode) == ("PNG", "L")
        np.testing.assert_array_equal(sheet, np.block([[*row] for row in tiles]))
    before = path.read_bytes()
    save_tiles(path, tiles)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["sheet.png"]


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


def image(mode, *size, kind="PNG"):
    return lambda path: Image.new(mode, size).save(path, format=kind)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b""), r"not a grey PNG \(.*cannot identify"),
        (lambda path: path.write_text("no image"), r"not a grey PNG \(.*cannot identify"),
        (image("L", 56, 56, kind="JPEG"), r"not a grey PNG \(.*cannot identify"),
        (image("RGB", 56, 56), r"not a grey PNG \(.*mode is RGB"),
        (image("1", 56, 56), r"not a grey PNG \(.*mode is 1"),
        (image("L", 57, 56), "not a whole number of tiles of 28 x 28"),
        (image("L", 56, 55), "not a whole number of tiles of 28 x 28"),
        (image("L", 27, 28), "not a whole number of tiles of 28 x 28"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, write, reason):
    write(tmp_path / "sheet.png")
    with pytest.raises(InputError, match=rf"sheet\.png: .*{reason}") as caught:
        load_tiles(tmp_path / "sheet.png")
    assert "\n" not in str(caught.value)


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
