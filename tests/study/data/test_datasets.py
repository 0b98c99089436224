"""No test needs the network, the real images or to wait: functions stand in for them."""

import gzip
import hashlib
import io
import socket
import time
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import sklearn.datasets
from sklearn.datasets import load_digits

from stages import fetch_mnist, split
from study.data import mnist
from study.data.idx import format_idx, parse_idx
from study.data.splitting import split_indices
from vaefill.errors import InputError
from vaefill.storage import load_arrays, save_arrays

NAMES = tuple(mnist.FILES)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a test reached for the network")

    monkeypatch.delenv("VAEFILL_DATA", raising=False)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture
def arrays(monkeypatch):
    """6 + 3 images in MNIST's place: arrays by file name."""
    rng = np.random.default_rng(0)
    shapes = [(6, 28, 28), (6,), (3, 28, 28), (3,)]
    monkeypatch.setattr(mnist, "N_TRAIN", 6)
    content = {
        n: rng.integers(10, size=s, dtype=np.uint8) for n, s in zip(NAMES, shapes, strict=True)
    }
    for name, array in content.items():
        file = format_idx(array)
        monkeypatch.setitem(mnist.FILES, name, (len(file), hashlib.sha256(file).hexdigest()))
    return content


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Write a params.yaml and run in its directory."""

    def write(params):
        (tmp_path / "params.yaml").write_text(params, "utf-8")
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return write


@pytest.fixture
def web(arrays):
    """What a good mirror answers, by file name."""
    return {f"{n}.gz": gzip.compress(format_idx(a)) for n, a in arrays.items()}


def fill(directory, files):
    """Write files by name; return their directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


class Internet:
    """A mirror answers with `pages` unless `broken` says how it fails."""

    def __init__(self, pages, broken=None):
        self.pages, self.broken = pages, broken or {}
        self.asked, self.pauses = [], []

    def open_url(self, url, *, timeout):
        assert timeout == mnist.TIMEOUT
        self.asked.append(url)
        mirror, name = url.rsplit("/", 1)
        failure = self.broken.get(mirror)
        if isinstance(failure, Exception):
            raise failure
        return io.BytesIO(failure if failure is not None else self.pages[name])

    def read(self, cache):
        return mnist.mnist(cache=cache, open_url=self.open_url, sleep=self.pauses.append)


def assert_is(images_and_labels, arrays):
    images, labels = images_and_labels
    np.testing.assert_array_equal(images, np.concatenate([arrays[n] for n in NAMES[::2]]))
    np.testing.assert_array_equal(labels, np.concatenate([arrays[n] for n in NAMES[1::2]]))
    assert images.dtype == labels.dtype == np.uint8


def test_idx_by_hand():
    content = bytes.fromhex("00000802 00000002 00000003 010203040506")
    np.testing.assert_array_equal(parse_idx(content), [[1, 2, 3], [4, 5, 6]])
    assert format_idx(np.array([[1, 2, 3], [4, 5, 6]], np.uint8)) == content


@pytest.mark.parametrize("content", [
    b"", b"\x00\x00\x08", b"<html>not found</html>", *map(bytes.fromhex, (
        "00000901 00000001 01",  # signed bytes
        "01000801 00000001 01",
        "00000802 00000002",  # the header ends early
        "00000801 00000003 0102",
        "00000801 00000001 0102",
    )),
])  # fmt: skip
def test_idx_with_wrong_magic_or_length_is_refused(content):
    with pytest.raises(InputError, match=r"IDX file of (unsigned bytes|shape)"):
        parse_idx(content)


def test_files_are_those_of_70000_images_of_28_by_28():
    sizes = [16 + 60_000 * 784, 8 + 60_000, 16 + 10_000 * 784, 8 + 10_000]
    assert [size for size, _ in mnist.FILES.values()] == sizes


@pytest.mark.parametrize("root", [".", "MNIST/raw"])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_directory(tmp_path, web, arrays, monkeypatch, root, plain, dotted):
    files = {
        name.replace("-idx", ".idx" if dotted else "-idx"): content for name, content in web.items()
    }
    if plain:
        files = {name[:-3]: gzip.decompress(content) for name, content in files.items()}
    fill(tmp_path / root, files)
    assert_is(mnist.mnist(directory=tmp_path), arrays)
    monkeypatch.setenv("VAEFILL_DATA", str(tmp_path))
    assert_is(mnist.mnist(), arrays)


@pytest.mark.parametrize(
    ("dataset", "root"), [("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_data_sets_like_mnist(project, web, arrays, monkeypatch, dataset, root):
    directory = project(f"dataset: {dataset}")

    def refused(message):
        with pytest.raises(InputError, match=message):
            fetch_mnist.main(["--out", "raw.npz"])

    refused(f"^dataset = '{dataset}': not downloaded; set VAEFILL_DATA")
    monkeypatch.setenv("VAEFILL_DATA", str(directory))
    refused(f"no file {NAMES[0]}.* in {root}/raw; .* of {dataset}")
    raw = fill(directory / root / "raw", web)
    refused(f"{NAMES[0]} is that of MNIST; point it to")
    other = {name: array[::-1].copy() for name, array in arrays.items()}
    fill(raw, {f"{name}.gz": gzip.compress(format_idx(array)) for name, array in other.items()})
    fetch_mnist.main(["--out", "raw.npz"])
    assert_is(load_arrays("raw.npz").values(), other)
    fill(raw, {f"{NAMES[1]}.gz": gzip.compress(format_idx(other[NAMES[1]][1:]))})
    refused(f"{NAMES[1]} should have 14 bytes, found 13")


def flipped(packed):
    content = bytearray(gzip.decompress(packed))
    content[-1] ^= 1
    return gzip.compress(bytes(content))


DAMAGE = {
    "html": (lambda packed: b"<html>proxy login</html>", "truncated or corrupt"),
    "cut": (lambda packed: packed[:-20], "truncated or corrupt"),
    "stream": (lambda packed: packed[:10] + bytes(190) + packed[200:], "truncated or corrupt"),
    "one value": (flipped, "is corrupt"),
    "empty": (lambda packed: b"", "should have"),
    "bomb": (lambda packed: gzip.compress(bytes(1_000_000)), "found more"),
}


@pytest.mark.parametrize("damage", [*DAMAGE, "cut plain file", "no file", "no directory"])
@pytest.mark.parametrize("name", [NAMES[0], NAMES[3]])
def test_bad_file_in_the_named_directory_stops_the_stage(project, web, monkeypatch, damage, name):
    directory = project("dataset: mnist")
    folder = fill(directory / "idx", web)
    path = folder / f"{name}.gz"
    if damage in DAMAGE:
        change, reason = DAMAGE[damage]
        path.write_bytes(change(web[path.name]))
        reason = f".*{name}.*{reason}"
    elif damage == "no file":
        path.unlink()
        reason = f"no file {name}"
    elif damage == "no directory":
        folder, reason = directory / "nowhere", "no such directory; point it to"
    else:  # which counts before the one with .gz
        path.with_suffix("").write_bytes(gzip.decompress(web[path.name])[:-1])
        reason = f".*{name} should have"
    monkeypatch.setenv("VAEFILL_DATA", str(folder))
    message = rf"^VAEFILL_DATA={folder}: {reason}"
    with pytest.raises(InputError, match=message) as error:
        fetch_mnist.main(["--out", "raw.npz"])
    assert "\n" not in str(error.value)
    assert not (directory / "raw.npz").exists()


def test_first_mirror_fills_the_cache_and_the_cache_answers_next(tmp_path, web, arrays):
    internet = Internet(web)
    assert_is(internet.read(tmp_path), arrays)
    assert internet.asked == [f"{mnist.MIRRORS[0]}/{name}.gz" for name in NAMES]
    assert internet.pauses == []
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)
    assert_is(internet.read(tmp_path), arrays)
    assert len(internet.asked) == 4
    # A damaged file is replaced.
    damaged = tmp_path / NAMES[2]
    good = damaged.read_bytes()
    for size in (0, 1000):
        damaged.write_bytes(bytes(size))
        assert_is(internet.read(tmp_path), arrays)
        assert internet.asked.pop() == f"{mnist.MIRRORS[0]}/{NAMES[2]}.gz"
        assert len(internet.asked) == 4
        assert damaged.read_bytes() == good


def test_urlopen_itself(tmp_path, web, arrays, monkeypatch):
    folder = fill(tmp_path / "idx", web)
    mirrors = (f"{tmp_path.as_uri()}/nowhere", folder.as_uri())
    monkeypatch.setattr(mnist, "MIRRORS", mirrors)
    pauses = []
    assert_is(mnist.mnist(cache=tmp_path / "cache", sleep=pauses.append), arrays)
    assert pauses == [1.0, 2.0]


@pytest.mark.parametrize(
    "failure",
    [
        URLError("refused"), TimeoutError("timed out"), b"<html>proxy login</html>",
        gzip.compress(b"other"), gzip.compress(bytes(2000))[:-9],
    ],
    # Named, because a gzip header holds the time, and test names must not change with it.
    ids=["refused", "timeout", "html", "another file", "truncated"],
)  # fmt: skip
def test_next_mirror_answers_after_three_tries(tmp_path, web, arrays, failure):
    internet = Internet(web, {mnist.MIRRORS[0]: failure})
    assert_is(internet.read(tmp_path), arrays)
    first, second = mnist.MIRRORS[:2]
    assert internet.asked == [f"{first}/{NAMES[0]}.gz"] * 3 + [f"{second}/{n}.gz" for n in NAMES]
    assert internet.pauses == [1.0, 2.0]
    if isinstance(failure, bytes):  # once, and it is tried again
        again = Internet(web)

        def flaky(url, *, timeout):
            response = again.open_url(url, timeout=timeout)
            return response if len(again.asked) > 1 else io.BytesIO(failure)

        pauses = []
        assert_is(mnist.mnist(cache=tmp_path / "b", open_url=flaky, sleep=pauses.append), arrays)
        assert again.asked[:2] == [f"{first}/{NAMES[0]}.gz"] * 2
        assert pauses == [1.0]


def test_cache_that_cannot_be_written_does_not_matter(tmp_path, web, arrays):
    (tmp_path / "file").write_bytes(b"")
    assert_is(Internet(web).read(tmp_path / "file" / "cache"), arrays)


def _offline():
    return Internet({}, dict.fromkeys(mnist.MIRRORS, URLError("offline")))


def test_openml_is_the_last_resort(tmp_path, arrays, monkeypatch):
    images, labels = (np.concatenate([arrays[n] for n in NAMES[i::2]]) for i in (0, 1))
    data, target = images.reshape(-1, 784).astype(float), labels.astype(str).astype(object)
    seen = []

    def fetch_openml(name, **options):
        seen.append((name, options["version"], socket.getdefaulttimeout()))
        return SimpleNamespace(data=data, target=target)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    internet = _offline()
    assert_is(internet.read(tmp_path), arrays)
    assert len(internet.asked) == 3 * len(mnist.MIRRORS)
    assert seen == [("mnist_784", 1, mnist.TIMEOUT)]
    assert socket.getdefaulttimeout() is None
    assert_is(internet.read(tmp_path), arrays)
    assert len(seen) == 1, "the cache did not answer"
    data[-1, -1] += 1
    with pytest.raises(InputError, match=r"OpenML: t10k-images-idx3-ubyte is corrupt"):
        _offline().read(tmp_path / "empty")
    assert not (tmp_path / "empty").exists()


def test_when_all_fail_one_line_names_each_source_and_what_to_do(tmp_path, monkeypatch, arrays):
    def fetch_openml(name, **options):
        raise URLError("no route")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    internet = _offline()
    internet.broken[mnist.MIRRORS[1]] = b"<html>"
    with pytest.raises(InputError) as error:
        internet.read(tmp_path)
    for part in (
        f"cache {tmp_path}: no file {NAMES[0]}",
        f"{mnist.MIRRORS[0]}: <urlopen error offline>",
        f"{mnist.MIRRORS[1]}: {NAMES[0]}.gz is truncated or corrupt",
        "OpenML: <urlopen error no route>",
        "VAEFILL_DATA",
        "make demo",
    ):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert internet.pauses == [1.0, 2.0] * (len(mnist.MIRRORS) + 1)


@pytest.mark.filterwarnings("ignore:A network error occurred:UserWarning")
def test_fetch_openml_itself_offline(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("offline")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(InputError, match=r"OpenML: <urlopen error offline>"):
        _offline().read(tmp_path)


def test_every_source_gives_the_same_bytes(project, web, monkeypatch):
    directory = project("dataset: mnist")
    monkeypatch.setenv("VAEFILL_DATA", str(fill(directory / "idx", web)))
    fetch_mnist.main(["--out", "first.npz"])
    monkeypatch.delenv("VAEFILL_DATA")
    images, labels = Internet(web).read(directory / "cache")
    save_arrays("second.npz", {"images": images, "labels": labels})
    assert (directory / "first.npz").read_bytes() == (directory / "second.npz").read_bytes()


def test_digits(project):
    project("dataset: digits")
    fetch_mnist.main(["--out", "data/raw.npz"])
    raw = load_arrays("data/raw.npz")
    original = load_digits()
    images, labels = raw["images"], raw["labels"]
    assert images.shape == (1797, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)
    np.testing.assert_array_equal(labels, original.target)
    # Bilinear by hand: pixel centres of the larger grid in the smaller one, edges held.
    places = (np.arange(28) + 0.5) * 8 / 28 - 0.5
    weights = np.stack([np.interp(places, np.arange(8), row) for row in np.eye(8)], axis=1)
    expected = weights @ (original.images / 16 * 255) @ weights.T
    np.testing.assert_allclose(images, expected, atol=0.5 + 1e-6)


def test_split_of_70000_is_that_of_the_slides():
    parts = split_indices(70_000, test_size=10_000, valid_size=5_000, seed=123)
    assert list(parts) == ["train", "valid", "test"]
    assert parts["train"][:5].tolist() == [34261, 27529, 63378, 31619, 3606]
    assert parts["valid"][:5].tolist() == [53439, 69851, 24150, 29426, 48434]
    assert parts["test"][:5].tolist() == [21971, 16953, 48447, 42344, 4376]
    content = b"".join(index.astype("<i8").tobytes() for index in parts.values())
    digest = "8793fcb622303b41f451bbaa6c2d06b6f2036170b1b6e7b1115b58710f1043cd"
    assert hashlib.sha256(content).hexdigest() == digest
    # The division that scikit-learn documents: a permutation's head is held out.
    order = np.random.RandomState(123).permutation(70_000)
    np.testing.assert_array_equal(parts["test"], order[:10_000])
    rest, order = order[10_000:], np.random.RandomState(123).permutation(60_000)
    np.testing.assert_array_equal(parts["valid"], rest[order[:5_000]])
    np.testing.assert_array_equal(parts["train"], rest[order[5_000:]])


@pytest.mark.parametrize(
    ("test_size", "valid_size"),
    [(15, 5), (20, 1), (1, 19), (10_000, 5_000), (0, 5), (5, 0), (-1, 5)],
)
def test_sizes_that_leave_a_part_empty_are_refused(test_size, valid_size):
    with pytest.raises(
        InputError, match=rf"test_size = {test_size} .* 20 images: each must be at least 1 .* train"
    ):
        split_indices(20, test_size=test_size, valid_size=valid_size, seed=0)
    parts = split_indices(20, test_size=15, valid_size=4, seed=0)
    assert [len(index) for index in parts.values()] == [1, 4, 15]


def test_split_stage(project):
    directory = project("split: {seed: 1, test_size: 5, valid_size: 3}")
    # 20 images whose every pixel is their row.
    rows = np.arange(20, dtype=np.uint8)
    images = np.broadcast_to(rows[:, None, None], (20, 28, 28))
    save_arrays("raw.npz", {"images": images, "labels": rows % 10})
    split.main(["--raw", "raw.npz", "--out", "split.npz"])
    arrays = load_arrays("split.npz")
    for part, size in {"train": 12, "valid": 3, "test": 5}.items():
        index = arrays[f"{part}_index"]
        assert index.dtype == np.int64
        assert arrays[f"{part}_images"].shape == (size, 28, 28)
        np.testing.assert_array_equal(arrays[f"{part}_images"][:, 13, 27], index)
        np.testing.assert_array_equal(arrays[f"{part}_labels"], index % 10)
    together = np.concatenate([arrays[f"{part}_index"] for part in ("train", "valid", "test")])
    np.testing.assert_array_equal(np.sort(together), np.arange(20))
    split.main(["--raw", "raw.npz", "--out", "again.npz"])
    assert (directory / "split.npz").read_bytes() == (directory / "again.npz").read_bytes()


@pytest.mark.parametrize(
    ("stage", "params", "message"),
    [
        (fetch_mnist, "dataset: minst", r"dataset = 'minst'"),
        (split, "split: {seed: 1, test_size: 0, valid_size: 1}", r"split\.test_size = 0"),
        (split, "split: {seed: 1, test_size: 2.5, valid_size: 1}", r"split\.test_size = 2\.5"),
        (split, "split: {seed: 1, test_size: 2, valid_size: 0}", r"split\.valid_size = 0"),
        (split, "split: {seed: -1, test_size: 2, valid_size: 1}", r"split\.seed = -1"),
    ],
)
def test_bad_params_stop_the_stage(project, stage, params, message):
    project(params)
    argv = ["--raw", "raw.npz"] if stage is split else []
    with pytest.raises(InputError, match=message):
        stage.main([*argv, "--out", "out.npz"])
