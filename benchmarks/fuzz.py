"""Feed the readers of files with what no program wrote: damaged files, guided by coverage.

    python -m benchmarks.fuzz csv --seconds 60

Whatever the bytes are, a reader gives a table or says in one line why it does not (`InputError`).
Anything else is printed and kept in a directory, and the search goes on. Needs ``pip install
atheris``; the tests do the same for a moment without it.
"""

import argparse
import atexit
import gzip
import io
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from inspect import isclass, isfunction
from pathlib import Path
from types import FunctionType

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from vaefill.cli.output import LONGEST_MESSAGE, printable
from vaefill.errors import InputError
from vaefill.files.formats import ImageSource, open_source
from vaefill.files.typing import Type, TypeFinder, to_typed

#: Rows after which a table is left: a few bytes may stand for any number of them.
MOST_ROWS = 1000
#: Megabytes that a reader of small files may take, beside what is loaded before.
MEGABYTES = 4096
MISSING = ("-999",)
TABLES = ("csv", "tsv", "csv.gz", "parquet", "arrow", "ipc", "feather", "npy", "npz")
MODELS = ("vaefill", "safetensors")
#: Whose branches guide the search.
INSTRUMENTED = ("vaefill", "numpy.lib", "zipfile", "gzip")
CSV = b'\xef\xbb\xbfa,b,"c ""q"""\n1,x,2\n1.5,"y,\nz",?\n,NA,-999\n-2,=x,1e5\n'


def make_tables() -> dict[str, bytes]:
    """Give small files of every format, by the ending of their name."""
    table = pa.table(
        {
            "float": [1.5, None, 3.0, -999.0],
            "text": ["x", "y", None, "=1"],
            "integer": [1, 2, 3, -999],
            "category": pa.array(["u", "v", "u", None]).dictionary_encode(),
            "boolean": [True, None, False, True],
        }
    )
    files = {name: io.BytesIO() for name in ("parquet", "arrow", "ipc", "feather", "npy", "npz")}
    pq.write_table(table, files["parquet"], row_group_size=3)
    with pa.ipc.new_file(files["arrow"], table.schema) as writer:
        writer.write_table(table, 3)
    with pa.ipc.new_stream(files["ipc"], table.schema) as stream:
        stream.write_table(table, 3)
    pyarrow.feather.write_feather(table, files["feather"], compression="zstd")
    np.save(files["npy"], np.arange(12.0).reshape(4, 3))
    np.savez_compressed(files["npz"], a=np.arange(4.0), b=np.arange(8).reshape(4, 2))
    return {name: file.getvalue() for name, file in files.items()} | {
        "csv": CSV,
        "tsv": CSV.replace(b",", b"\t"),
        "csv.gz": gzip.compress(CSV, mtime=0),
    }


def make_models() -> dict[str, bytes]:
    """Give small files of models: of a table, and of images."""
    import torch

    from vaefill.imputer import VAEImputer
    from vaefill.models import ConditionalVAE, save

    rng = np.random.default_rng(0)
    number = rng.normal(size=30)
    gap = number > 1
    table = pa.table(
        {
            "a": pa.array(number, mask=gap),
            "b": pa.array(rng.integers(5, size=30)),
            "c": pa.array(np.array(["x", "y", "z"])[rng.integers(3, size=30)]),
        }
    )
    imputer = VAEImputer(max_iter=2, hidden=(4,), n_latents=2, random_state=0).fit(table)
    images = ConditionalVAE(
        "gauss", shape=(4, 4), widths=(4, 3), latent=2, generator=torch.Generator().manual_seed(0)
    )
    with tempfile.TemporaryDirectory() as directory:
        save(Path(directory) / "images", images)
        return {
            "vaefill": imputer.to_bytes(),
            "safetensors": (Path(directory) / "images").read_bytes(),
        }


def read_table(path: Path) -> int:
    """Read a table twice, once to find its types and once to convert it; give its rows."""
    source = open_source(path, missing=MISSING)
    if isinstance(source, ImageSource):
        return sum(len(images) for images in source.batches(1000))
    finder = TypeFinder(missing=source.missing)
    for table in source.batches(2):
        table.validate(full=True)
        finder.update(table)
        if finder.rows > MOST_ROWS:
            break
    own: dict[str, Type] = dict.fromkeys(source.names, "text")
    types = finder.types(place=source.place) if source.text else own
    first = 0
    for table in source.batches(3):
        typed = to_typed(table, types, missing=source.missing, first_row=first, place=source.place)
        typed.validate(full=True)
        first += typed.num_rows
        if first > MOST_ROWS:
            break
    return first


def read_model(path: Path) -> int:
    """Load a model and let it fill in rows without anything and with nothing missing."""
    from vaefill.imputer import VAEImputer

    imputer = VAEImputer.load(path)
    if not isinstance(imputer, VAEImputer):
        return len(imputer.transform(np.full((2, 4, 4), np.nan)))
    kinds: dict[str, pa.Array] = {
        "a": pa.array([None, 0.5, 1.0], pa.float64()),
        "b": pa.array([None, 2, None], pa.int64()),
        "c": pa.array([None, "x", None], pa.string()),
    }
    imputer.fill(pa.table(kinds), n_draws=2, level=0.9)
    return 3


def attempt(read: Callable[[Path], int], path: Path, content: bytes) -> str | None:
    """Read these bytes.

    Returns
    -------
    str or None
        Why they are not taken, in one line; None where they are.
    """
    path.write_bytes(content)
    try:
        read(path)
    except InputError as error:
        return printable(str(error), LONGEST_MESSAGE)
    finally:
        if {file.name for file in path.parent.iterdir()} != {path.name}:
            raise AssertionError(f"reading left something beside {path}")
    return None


def functions(*packages: str) -> Iterator[FunctionType]:
    """List the functions of modules that are loaded, and the methods of their classes."""
    for name, module in list(sys.modules.items()):
        if name.startswith(packages):
            own = [v for v in vars(module).values() if getattr(v, "__module__", None) == name]
            for value in [*own, *(v for kind in own if isclass(kind) for v in vars(kind).values())]:
                if isfunction(value):
                    yield value


def campaign(kind: str, seconds: int, found: Path) -> None:
    """Search for bytes that a reader cannot cope with; ends the process."""
    try:
        import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        sys.exit("benchmarks.fuzz: atheris is not there: pip install atheris")
    make, read = KINDS[kind]
    content = make()[kind]
    directory = Path(tempfile.mkdtemp())
    corpus, file = directory / "corpus", directory / "run" / f"file.{kind}"
    corpus.mkdir()
    found.mkdir(parents=True, exist_ok=True)
    file.parent.mkdir()
    (corpus / "seed").write_bytes(content)
    assert attempt(read, file, content) is None
    for function in functions(*INSTRUMENTED):
        atheris.instrument_func(function)
    counts: Counter[str] = Counter()

    def one(content: bytes) -> None:
        try:
            with warnings.catch_warnings(action="ignore"):
                refused = attempt(read, file, content)
            counts["taken" if refused is None else "refused"] += 1
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            fault = f"{type(error).__name__} at {where.filename}:{where.lineno}"
            counts[fault] += 1
            if counts[fault] == 1:
                (found / f"{type(error).__name__}-{len(counts)}.{kind}").write_bytes(content)
                print(f"{fault}: {error}", file=sys.stderr)

    atexit.register(lambda: print(kind, dict(counts), flush=True))
    limits = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEGABYTES}", "-timeout=20"]
    artifacts = f"-artifact_prefix={found}/{kind}-"
    atheris.Setup([sys.argv[0], *limits, artifacts, "-print_final_stats=1", str(corpus)], one)
    atheris.Fuzz()


#: What makes a valid file of each kind, and what reads it.
KINDS = dict.fromkeys(TABLES, (make_tables, read_table)) | dict.fromkeys(
    MODELS, (make_models, read_model)
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"), help="a directory")
    chosen = parser.parse_args()
    campaign(chosen.kind, chosen.seconds, chosen.found)
