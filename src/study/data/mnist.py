"""MNIST: its four original IDX files, from the first source that has them.

The SHA-256 of their decompressed bytes decides, whoever sent them, so the arrays never depend on
the source. Data sets made in MNIST's image have files of the same names and sizes; they are read
where a person has them, and nothing is known of their bytes but that they are not MNIST's.

References
----------
LeCun, Cortes, Burges: The MNIST database of handwritten digits (1998).
Xiao, Rasul, Vollgraf: Fashion-MNIST, arXiv:1708.07747 (2017).
Clanuwat et al.: Deep learning for classical Japanese literature, arXiv:1812.01718 (2018).
"""

import gzip
import hashlib
import io
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

from study.data.idx import format_idx, parse_idx
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
#: Where torchvision keeps the files below its root.
FOLDERS = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw", "kmnist": "KMNIST/raw"}
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
        Holds the four IDX files, see `given`; default ``$VAEFILL_DATA``.
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
        return given("mnist", directory=directory)
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


def given(dataset: str, *, directory: str | Path | None = None) -> Images:
    """Read the four IDX files of a data set where a person has them; nothing is downloaded.

    Parameters
    ----------
    dataset : {"mnist", "fashion_mnist", "kmnist"}
        What the files are.
    directory : path-like, optional
        Holds each file as ``train-images-idx3-ubyte`` or ``train-images.idx3-ubyte``, plain or
        with ``.gz``; or is torchvision's root, with the files in `FOLDERS` below it. Default
        ``$VAEFILL_DATA``.

    Returns
    -------
    images : ndarray of uint8, shape (70000, 28, 28)
    labels : ndarray of uint8, shape (70000,)

    Raises
    ------
    InputError
        When no directory is named, or a file is not there or not what it should be.
    """
    directory = directory or os.environ.get("VAEFILL_DATA")
    advice = (
        f"to a directory with the four files of {dataset} ({', '.join(FILES)}, each plain or .gz), "
        "or to torchvision's root"
    )
    if not directory:
        raise InputError(f"dataset = {dataset!r}: not downloaded; set VAEFILL_DATA {advice}")
    try:
        return _decode(_read_directory(Path(directory), dataset))
    except FAILURES as error:
        unset = ", or unset it to download them" if dataset == "mnist" else ""
        raise InputError(f"VAEFILL_DATA={directory}: {error}; point it {advice}{unset}") from error


def _decode(files: dict[str, bytes]) -> Images:
    train_images, train_labels, test_images, test_labels = (parse_idx(files[n]) for n in FILES)
    return np.concatenate([train_images, test_images]), np.concatenate([train_labels, test_labels])


def _verified(name: str, file: IO[bytes], dataset: str = "mnist") -> bytes:
    size, digest = FILES[name]
    try:
        content = file.read(size + 1)  # no more, whatever a compressed file would grow to
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{name}.gz is truncated or corrupt ({error})") from error
    if len(content) != size:
        count = "more" if len(content) > size else len(content)
        raise InputError(f"{name} should have {size} bytes, found {count}")
    found = hashlib.sha256(content).hexdigest()
    if dataset == "mnist" and found != digest:
        raise InputError(f"{name} is corrupt (SHA-256 {found}, not {digest})")
    if dataset != "mnist" and found == digest:
        raise InputError(f"{name} is that of MNIST")
    return content


def _read_file(directory: Path, name: str, dataset: str = "mnist") -> bytes:
    dotted = name.replace("-idx", ".idx")
    for folder in (directory / FOLDERS[dataset], directory):
        for path in (folder / name, folder / dotted):
            if path.is_file():
                with path.open("rb") as file:
                    return _verified(name, file, dataset)
            if (packed := path.with_name(f"{path.name}.gz")).is_file():
                with gzip.open(packed) as file:
                    return _verified(name, cast(IO[bytes], file), dataset)
    raise InputError(f"no file {name}, {dotted}, or either with .gz, here or in {FOLDERS[dataset]}")


def _read_directory(directory: Path, dataset: str = "mnist") -> dict[str, bytes]:
    if not directory.is_dir():
        raise InputError("no such directory")
    return {name: _read_file(directory, name, dataset) for name in FILES}


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
