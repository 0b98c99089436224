"""What every stage shares: its params, checked where they are read, and its paths.

YAML files are read as DVC reads them, by version 1.2: ``1e-05`` is a number and ``no`` is a string.
A stage declares the params that it reads as a `Params` class whose fields are the very keys that it
lists in `dvc.yaml`.
"""

import argparse
import difflib
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from vaefill.errors import InputError

P = TypeVar("P", bound="Params")
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


def distinct(values: list[Any]) -> list[Any]:
    """Check for a pydantic field: nothing twice, because the same run twice is not two runs."""
    if len(set(values)) < len(values):
        raise ValueError("must not hold a value twice")
    return values


#: One run per seed.
Seeds = Annotated[list[Seed], Field(min_length=1), AfterValidator(distinct)]
#: Of networks that are trained to impute; one without seeds is not trained.
NetworkSeeds = dict[str, Annotated[list[Seed], AfterValidator(distinct)]]


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
    values = read_yaml(Path(directory, "params.yaml"))
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


class _Loader(yaml.SafeLoader):
    """Reads what is true, an integer or a number by YAML 1.2, and refuses a key given twice."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping, whose keys must differ."""
        node = super().compose_mapping_node(anchor)
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(key.value) > 1:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} is given twice", problem_mark=key.start_mark
                )
        return node

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        """Take leading zeros for what they are, and ``0x``, ``0o`` and ``0b`` for bases."""
        text = node.value.replace("_", "")
        return int(text, 0 if text.lstrip("+-")[:2] in ("0b", "0o", "0x") else 10)


#: The patterns of ruamel.yaml, with which DVC reads.
_SCALARS = {
    "bool": r"true|True|TRUE|false|False|FALSE",
    "float": r"""[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)? | [-+]?[0-9][0-9_]*[eE][-+]?[0-9]+
        | [-+]?\.[0-9_]+(?:[eE][-+][0-9]+)? | [-+]?\.(?:inf|Inf|INF) | \.(?:nan|NaN|NAN)""",
    "int": r"[-+]?0b[01_]+ | [-+]?0o?[0-7_]+ | [-+]?[0-9_]+ | [-+]?0x[0-9a-fA-F_]+",
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag.rpartition(":")[2] not in _SCALARS]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, _pattern in _SCALARS.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}",
        re.compile(rf"^(?:{_pattern})$", re.VERBOSE),
        list("-+.0123456789tTfF"),
    )
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_integer)


def parse_yaml(text: str) -> Any:
    """Read YAML text as `read_yaml` reads a file, whatever it holds."""
    return yaml.load(text, _Loader)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises
    ------
    InputError
        When the file cannot be read, is no mapping, or gives a key twice.
    """
    try:
        values = parse_yaml(Path(path).read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; run from the project's root") from error
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `key: value` lines, found {type(values).__name__}")
    return values


def _declared_params(path: Path) -> set[str]:
    """Top-level keys of params that some stage of ``dvc.yaml`` lists, under a file or without."""
    if not path.exists():
        return set()
    return {
        key.split(".")[0]
        for stage in read_yaml(path)["stages"].values()
        for entry in stage.get("params", [])
        for keys in (entry.values() if isinstance(entry, dict) else [[entry]])
        for key in keys
    }


def parse_paths(
    argv: Sequence[str] | None,
    *flags: str,
    optional: Mapping[str, type] | None = None,
    **options: Any,
) -> argparse.Namespace:
    """Parse the command line of a stage: paths under `flags`, anything else under `options`.

    Parameters
    ----------
    argv : sequence of str or None
        The arguments; None takes those of the process.
    *flags : str
        Names of required paths, such as ``"--out"``.
    optional : mapping of str to type, optional
        Options that may be left out, and are then None.
    **options : type or sequence
        Further required options: ``seed=int`` or ``model=("gauss", "t")`` for a choice.
    """
    parser = argparse.ArgumentParser()
    for flag in flags:
        parser.add_argument(flag, type=Path, required=True)
    for name, kind in options.items():
        rule = {"type": kind} if isinstance(kind, type) else {"choices": kind}
        parser.add_argument(f"--{name}", required=True, **rule)
    for name, kind in (optional or {}).items():
        parser.add_argument(f"--{name}", type=kind)
    return parser.parse_args(argv)


def run(main: Callable[[], None]) -> None:
    """Run a stage; what a person can put right ends as one line on stderr and exit code 1.

    Of a file that is missing or broken, the line names the command that makes it.
    """
    try:
        main()
    except (InputError, OSError) as error:
        line = " ".join(str(error).split())
        path, missing, _ = line.partition(": no such file")
        if missing and (stage := _maker(path)):
            line = f"{path}: no such file; make it with: dvc repro {stage}"
        elif line.endswith("; replace it") and (stage := _maker(line.partition(": ")[0])):
            line = f"{line.removesuffix('replace it')}delete it, then: dvc repro {stage}"
        sys.exit(f"error: {line}")


def _maker(path: str) -> str | None:
    """Name the stage that writes a file, as a command of DVC takes it; None where none does."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        (out,) = Repo(uninitialized=True).find_outs_by_path(path, strict=False)
    except DvcException:
        return None
    name: str = out.stage.addressing
    return name
