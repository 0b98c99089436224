"""dvc.yaml says what the stages really use: code, params and paths."""

import ast
import importlib
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import grimp
import pytest
from ruamel.yaml import YAML

from study.params import Params, read_params

ROOT = Path(__file__).resolve().parents[2]
STAGES: dict[str, dict[str, Any]] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]

each_stage = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    # A name that is imported for type checking only cannot change a result.
    return grimp.build_graph(
        "vaefill", "stages", exclude_type_checking_imports=True, cache_dir=None
    )


def module_of(stage: dict[str, Any]) -> str:
    python, flag, module, *_ = shlex.split(stage["cmd"])
    assert (python, flag) == ("python", "-m")
    return module


def flags_of(stage: dict[str, Any]) -> dict[str, str]:
    """Flags of the command with their values."""
    arguments = shlex.split(stage["cmd"])[3:]
    return {flag: value for flag, value in pairwise(arguments) if flag.startswith("--")}


def declared(stage: dict[str, Any], *kinds: str) -> set[str]:
    """Paths under `kinds`, without their options such as ``cache: false``."""
    entries = [entry for kind in kinds for entry in stage.get(kind, [])]
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}


def schema_of(stage: dict[str, Any]) -> type[Params]:
    """The class that the stage's module hands to `read_params`."""
    module = importlib.import_module(module_of(stage))
    calls = [
        node
        for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("read_params")
    ]
    assert len(calls) == 1, "a stage reads its params once"
    argument = calls[0].args[0]
    if isinstance(argument, ast.Subscript):  # one class per model
        return getattr(module, ast.unparse(argument.value))[flags_of(stage)["--model"]]
    return getattr(module, ast.unparse(argument))


@each_stage
def test_code_deps_are_the_import_closure(stage, imports):
    module = module_of(stage)
    # Packages' own __init__ files carry no results; grimp names them by the package.
    modules = {module, *imports.find_upstream_modules(module)} - {"vaefill", "stages"}
    files = {
        f"{'src/' if name.startswith('vaefill') else ''}{name.replace('.', '/')}.py"
        for name in modules
    }
    assert {path for path in declared(stage, "deps") if path.endswith(".py")} == files


def test_closure_follows_imports_of_imports(imports):
    # The stage names `vaefill.models.vae` only; the networks come in behind it.
    assert "vaefill.models.networks" in imports.find_upstream_modules("stages.train")
    assert "vaefill.models.networks" not in imports.find_modules_directly_imported_by(
        "stages.train"
    )


@each_stage
def test_params_are_those_that_the_stage_reads(stage):
    # Of train, each run lists its own recipe, such as train.slides.
    assert {key.split(".")[0] for key in stage["params"]} == set(schema_of(stage).model_fields)


@each_stage
def test_tracked_params_pass_their_own_check(stage):
    assert isinstance(read_params(schema_of(stage), ROOT), Params)


@each_stage
def test_paths_of_the_command_are_the_declared_ones(stage):
    given = {
        value
        for flag, value in flags_of(stage).items()
        if flag not in {"--recipe", "--networks", "--method", "--seed"}
        and (flag, value) not in {("--model", "gauss"), ("--model", "t")}
    }
    files = {
        path
        for path in declared(stage, "deps", "outs", "metrics", "plots")
        # Every stage reads params.yaml where it stands.
        if not path.endswith(".py") and path != "params.yaml"
    }

    def related(path: str, other: str) -> bool:
        return path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")

    assert {path for path in given if not any(related(path, f) for f in files)} == set()
    assert {path for path in files if not any(related(path, g) for g in given)} == set()


def test_uncached_outputs_are_metrics_and_plots():
    # One uncached plain output keeps the whole stage out of DVC's run cache. The reports may be:
    # they take seconds, and their prose and figures are neither metric nor plot.
    uncached = {
        name
        for name, stage in STAGES.items()
        for out in stage.get("outs", [])
        if isinstance(out, dict)
    }
    assert uncached == {"imputation", "report", "sweep"}
