"""The images: where they come from, and how they are divided.

`mnist` reads the four original IDX files from the first source that has them. The SHA-256 of
their decompressed bytes decides, whoever sent them, so the arrays never depend on the source.

References
----------
LeCun, Cortes, Burges: The MNIST database of handwritten digits (1998).
Alpaydin, Kaynak: Optical Recognition of Handwritten Digits, UCI repository (1998).
"""

import gzip
import hashlib
import io
import math
import os
import socket
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, TypeVar, cast
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray

from vaefill.errors import InputError
from vaefill.storage import write_bytes

T = TypeVar("T")
Images = tuple[NDArray[np.uint8], NDArray[np.uint8]]

# Name: size and SHA-256 of the decompressed file. A copy that was compressed anew is as good.
FILES = {
    "train-images-idx3-ubyte": (
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train-labels-idx1-ubyte": (
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "t10k-images-idx3-ubyte": (
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "t10k-labels-idx1-ubyte": (
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
N_TRAIN = 60_000  # the images of the first two files
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "https://raw.githubusercontent.com/fgnt/mnist/master",
)
TIMEOUT = 10.0  # seconds without an answer
BACKOFF = (1.0, 2.0)  # seconds before the second and the third try
FAILURES = (OSError, EOFError, ValueError, HTTPException, zlib.error)


def mnist(
    *,
    directory: str | Path | None = None,
    cache: str | Path | None = None,
    open_url: Callable[..., Any] = urlopen,
    sleep: Callable[[float], None] = time.sleep,
) -> Images:
    """Read MNIST: the classic 60,000 training images, then the 10,000 test images.

    Parameters
    ----------
    directory : path-like, optional
        Holds the four IDX files, each as ``NAME`` or ``NAME.gz``; default ``$VAEFILL_DATA``.
        When given it is the only source: what a person names is never silently replaced.
    cache : path-like, optional
        Keeps verified copies; default the user's cache directory.
    open_url, sleep : callable
        Stand-ins for `urllib.request.urlopen` and `time.sleep`.

    Returns
    -------
    images : ndarray of uint8, shape (70000, 28, 28)
    labels : ndarray of uint8, shape (70000,)

    Raises
    ------
    InputError
        When no source has the files; the message names each one and why it failed.
    """
    from platformdirs import user_cache_dir

    directory = directory or os.environ.get("VAEFILL_DATA")
    if directory:
        try:
            return _decode(_read_directory(Path(directory)))
        except FAILURES as error:
            raise InputError(
                f"VAEFILL_DATA={directory}: {error}; point it to a directory with MNIST's four "
                f"files ({', '.join(FILES)}, each plain or .gz), or unset it to download them"
            ) from error
    cache = Path(cache or user_cache_dir("vaefill"))
    sources: dict[str, Callable[[], dict[str, bytes]]] = {
        f"cache {cache}": partial(_read_directory, cache),
        **{url: partial(_download, url, cache, open_url, sleep) for url in MIRRORS},
        "OpenML": partial(_retry, partial(_from_openml, cache), sleep),
    }
    failures = []
    for source, read in sources.items():
        print(f"MNIST: trying {source}", file=sys.stderr)
        try:
            return _decode(read())
        except FAILURES as error:
            failures.append(f"{source}: {error}")
    raise InputError(
        f"MNIST: no source has it ({'; '.join(failures)}); set VAEFILL_DATA to a directory with "
        f"its four files, or run `make demo`, which downloads no images"
    )


def digits() -> Images:
    """Read the 1,797 digits that scikit-learn ships, 8 x 8 pixels made 28 x 28 (bilinear).

    Returns
    -------
    images : ndarray of uint8, shape (1797, 28, 28)
        The original 0..16 scaled to 0..255.
    labels : ndarray of uint8, shape (1797,)
    """
    from skimage.transform import resize
    from sklearn.datasets import load_digits

    bunch = load_digits()
    larger = [
        resize(image / 16, (28, 28), order=1, mode="edge", anti_aliasing=False)  # type: ignore[no-untyped-call]
        for image in bunch.images
    ]
    return np.rint(255 * np.stack(larger)).astype(np.uint8), bunch.target.astype(np.uint8)


DATASETS: dict[str, Callable[[], Images]] = {"mnist": mnist, "digits": digits}


def split_indices(
    n: int, *, test_size: int, valid_size: int, seed: int
) -> dict[str, NDArray[np.int64]]:
    """Divide ``range(n)`` at random: the test part first, then the validation part.

    Both divisions use the same seed, as the slides do.

    Parameters
    ----------
    n : int
        Number of images.
    test_size, valid_size : int
        Images in either part, at least 1 and together less than `n`.
    seed : int
        ``random_state`` of scikit-learn's `train_test_split`.

    Returns
    -------
    dict of str to ndarray of int64
        Disjoint indices under ``train``, ``valid`` and ``test``.

    Raises
    ------
    InputError
        When a part would be empty.
    """
    from sklearn.model_selection import train_test_split

    if min(test_size, valid_size) < 1 or test_size + valid_size >= n:
        raise InputError(
            f"split: test_size = {test_size} and valid_size = {valid_size} of {n} images: each "
            f"must be at least 1 and together they must leave some to train on; change them"
        )
    rest, test = train_test_split(
        np.arange(n, dtype=np.int64), test_size=test_size, random_state=seed
    )
    train, valid = train_test_split(rest, test_size=valid_size, random_state=seed)
    return {"train": train, "valid": valid, "test": test}


def split(
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    *,
    test_size: int,
    valid_size: int,
    seed: int,
) -> dict[str, NDArray[Any]]:
    """Divide images and labels as `split_indices` says.

    Returns
    -------
    dict of str to ndarray
        ``{part}_images``, ``{part}_labels`` and ``{part}_index`` (their rows in `images`) of
        each part.
    """
    parts = split_indices(len(images), test_size=test_size, valid_size=valid_size, seed=seed)
    arrays: dict[str, NDArray[Any]] = {}
    for part, index in parts.items():
        arrays[f"{part}_images"] = images[index]
        arrays[f"{part}_labels"] = labels[index]
        arrays[f"{part}_index"] = index
    return arrays


def parse_idx(content: bytes) -> NDArray[np.uint8]:
    """Decode an IDX file of unsigned bytes.

    The file is two zero bytes, the type (8: unsigned byte), the number of axes, the length of
    each axis as big-endian uint32, then the values in C order.

    Raises
    ------
    InputError
        When the first bytes are not those of such a file, or its length is not as they say.
    """
    if content[:3] != b"\x00\x00\x08" or len(content) < 4:
        raise InputError(f"not an IDX file of unsigned bytes (starts with {content[:4].hex()!r})")
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise InputError(
            f"{len(content)} bytes where an IDX file of shape {shape} has another size"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def format_idx(array: NDArray[np.uint8]) -> bytes:
    """Encode an array as `parse_idx` reads it."""
    lengths = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()


def _decode(files: dict[str, bytes]) -> Images:
    train_images, train_labels, test_images, test_labels = (parse_idx(files[n]) for n in FILES)
    return np.concatenate([train_images, test_images]), np.concatenate([train_labels, test_labels])


def _verified(name: str, file: IO[bytes]) -> bytes:
    size, digest = FILES[name]
    try:
        content = file.read(size + 1)  # no more, whatever a compressed file would grow to
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{name}.gz is truncated or corrupt ({error})") from error
    if len(content) != size:
        count = "more" if len(content) > size else len(content)
        raise InputError(f"{name} should have {size} bytes, found {count}")
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise InputError(f"{name} is corrupt (SHA-256 {found}, not {digest})")
    return content


def _read_file(directory: Path, name: str) -> bytes:
    if (path := directory / name).exists():
        with path.open("rb") as file:
            return _verified(name, file)
    if (path := directory / f"{name}.gz").exists():
        with gzip.open(path) as file:
            return _verified(name, cast(IO[bytes], file))
    raise InputError(f"no file {name} or {name}.gz")


def _read_directory(directory: Path) -> dict[str, bytes]:
    if not directory.is_dir():
        raise InputError("no such directory")
    return {name: _read_file(directory, name) for name in FILES}


def _download(
    mirror: str, cache: Path, open_url: Callable[..., Any], sleep: Callable[[float], None]
) -> dict[str, bytes]:
    def fetch(name: str) -> bytes:
        with (
            open_url(f"{mirror}/{name}.gz", timeout=TIMEOUT) as response,
            gzip.GzipFile(fileobj=response) as file,
        ):
            return _verified(name, cast(IO[bytes], file))

    files = {}
    for name in FILES:
        try:
            files[name] = _read_file(cache, name)
        except FAILURES:
            files[name] = _retry(partial(fetch, name), sleep)
            _keep(cache, name, files[name])
    return files


def _from_openml(cache: Path) -> dict[str, bytes]:
    from sklearn.datasets import fetch_openml

    with _socket_timeout(TIMEOUT):
        bunch = fetch_openml(
            "mnist_784",
            version=1,
            as_frame=False,
            parser="liac-arff",
            data_home=str(cache / "openml"),
            n_retries=1,  # the least it takes
        )
    images = bunch.data.astype(np.uint8).reshape(-1, 28, 28)
    labels = bunch.target.astype(np.uint8)
    # Its rows are the training images, then the test images; as IDX files the digests decide.
    arrays = (images[:N_TRAIN], labels[:N_TRAIN], images[N_TRAIN:], labels[N_TRAIN:])
    files = {
        name: _verified(name, io.BytesIO(format_idx(array)))
        for name, array in zip(FILES, arrays, strict=True)
    }
    for name, content in files.items():
        _keep(cache, name, content)
    return files


def _keep(cache: Path, name: str, content: bytes) -> None:
    # A cache that cannot be written costs the next download, not this one.
    with suppress(OSError):
        write_bytes(cache / name, content)


def _retry(action: Callable[[], T], sleep: Callable[[float], None]) -> T:
    for pause in BACKOFF:
        try:
            return action()
        except FAILURES:
            sleep(pause)
    return action()


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    # fetch_openml takes no timeout of its own.
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous)
