"""What every stage shares: its params, checked where they are read, and its paths.

`params.yaml` is read as YAML 1.2, in which ``1e-05`` is a number (YAML 1.1 readers see a
string, and DVC writes that form). A stage declares the params that it reads as a `Params`
class whose fields are the very keys that it lists in `dvc.yaml`.
"""

import argparse
import difflib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from vaefill.errors import InputError

P = TypeVar("P", bound="Params")


class Params(BaseModel):
    """Params of one stage, or of one section: no unknown key, no conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def positive(value: float) -> float:
    """Check for a pydantic field: a number above 0; infinity is one, `nan` is not."""
    if math.isnan(value) or value <= 0:
        raise ValueError("must be a number above 0")
    return value


def read_params(schema: type[P], directory: str | Path = ".") -> P:
    """Read from ``params.yaml`` the keys that `schema` declares, and check them.

    Parameters
    ----------
    schema : type of Params
        Fields are top-level keys of ``params.yaml``.
    directory : path-like, default="."
        Where ``params.yaml`` and ``dvc.yaml`` lie.

    Returns
    -------
    Params
        An instance of `schema`.

    Raises
    ------
    InputError
        When the file cannot be read, holds a key that no stage reads (a misspelling, most
        likely), or a value breaks its rule. The message names key, value and rule.
    """
    values = _read_yaml(Path(directory, "params.yaml"))
    known = set(schema.model_fields) | _declared_params(Path(directory, "dvc.yaml"))
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"params.yaml: {key} = {values[key]!r}: no stage reads this key{hint}")
    try:
        return schema.model_validate({k: v for k, v in values.items() if k in schema.model_fields})
    except ValidationError as error:
        raise InputError("; ".join(_complaints(error))) from error


def _complaints(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        rule = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            yield f"params.yaml: {key} is missing; add it"
        elif problem["type"] == "extra_forbidden":
            yield f"params.yaml: {key} = {problem['input']!r}: no stage reads this key"
        else:
            yield f"params.yaml: {key} = {problem['input']!r}: {rule}"


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        # pure: the C loader follows YAML 1.1.
        values = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; run from the project's root") from error
    except YAMLError as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `key: value` lines, found {type(values).__name__}")
    return values


def _declared_params(path: Path) -> set[str]:
    """Top-level keys of ``params.yaml`` that some stage of ``dvc.yaml`` lists."""
    if not path.exists():
        return set()
    stages = _read_yaml(path)["stages"].values()
    return {key.split(".")[0] for stage in stages for key in stage.get("params", [])}


def parse_paths(argv: Sequence[str] | None, *flags: str, **options: Any) -> argparse.Namespace:
    """Parse the command line of a stage: paths under `flags`, anything else under `options`.

    Parameters
    ----------
    argv : sequence of str or None
        The arguments; None takes those of the process.
    *flags : str
        Names of required paths, such as ``"--out"``.
    **options : type or sequence
        Further required options: ``seed=int`` or ``model=("gauss", "t")`` for a choice.
    """
    parser = argparse.ArgumentParser()
    for flag in flags:
        parser.add_argument(flag, type=Path, required=True)
    for name, kind in options.items():
        rule = {"type": kind} if isinstance(kind, type) else {"choices": kind}
        parser.add_argument(f"--{name}", required=True, **rule)
    return parser.parse_args(argv)


def run(main: Callable[[], None]) -> None:
    """Run a stage; what a person can put right ends as one line on stderr and exit code 1."""
    try:
        main()
    except (InputError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
