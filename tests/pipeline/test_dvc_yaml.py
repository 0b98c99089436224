"""dvc.yaml says what the stages really use: code, params and paths."""

import ast
import importlib
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import grimp
import pytest

from study.params import Params, read_params, read_yaml

ROOT = Path(__file__).resolve().parents[2]
STAGES: dict[str, dict[str, Any]] = read_yaml(ROOT / "dvc.yaml")["stages"]
#: No result hangs on packages that import nothing, on the class of an error, or on how params are
#: read: DVC records their values itself, and reads the same (tests/study/test_params.py).
PACKAGES = {
    "stages", "study", "study.control", "study.data", "study.trials", "vaefill", "vaefill.report",
}  # fmt: skip
INERT = PACKAGES | {"study.params", "vaefill.errors"}

each_stage = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    # A name that is imported for type checking only cannot change a result.
    return grimp.build_graph(
        "vaefill", "study", "stages", exclude_type_checking_imports=True, cache_dir=None
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


def closure(imports: grimp.ImportGraph, module: str) -> set[str]:
    """All modules that run when one is imported, packages' own __init__ files among them."""
    found: set[str] = set()
    todo = {module}
    while todo:
        found |= (name := {todo.pop()})
        for one in name:
            parts = one.split(".")
            todo |= imports.find_modules_directly_imported_by(one)
            todo |= {".".join(parts[:n]) for n in range(1, len(parts))}
        todo -= found
    return found


def code_of(stage: dict[str, Any]) -> set[str]:
    """Modules and packages that the stage names as deps."""
    paths = (path for path in declared(stage, "deps") if path.startswith(("src/", "stages/")))
    return {path.removeprefix("src/").removesuffix(".py").replace("/", ".") for path in paths}


@each_stage
def test_code_deps_cover_the_import_closure_and_each_is_used(stage, imports):
    named = code_of(stage)
    used = {
        module: {name for name in named if f"{module}.".startswith(f"{name}.")}
        for module in closure(imports, module_of(stage)) - INERT
    }
    assert {module for module, names in used.items() if not names} == set()
    assert named == set().union(*used.values())


def test_closure_follows_imports_of_imports_and_packages(imports):
    # `stages.train` names `vaefill.models.vae` only.
    direct = imports.find_modules_directly_imported_by("stages.train")
    assert {"vaefill.models.networks", "vaefill.models"} <= closure(
        imports, "stages.train"
    ) - direct


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_inert_packages_import_nothing_that_is_not(imports, package):
    assert imports.find_modules_directly_imported_by(package) <= {"study.params", "vaefill.errors"}


def test_training_hangs_on_little_code():
    code = code_of(STAGES["train_gauss"]) | code_of(STAGES["train_t"])
    folders = {name for name in code if (ROOT / "src" / name.replace(".", "/")).is_dir()}
    assert folders == {"vaefill.models", "vaefill.training"}


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
        if flag
        not in {"--codes", "--epochs", "--method", "--networks", "--recipe", "--seed", "--truth"}
        and (flag, value) not in {("--model", "gauss"), ("--model", "t")}
    }
    files = {
        path
        for path in declared(stage, "deps", "outs", "metrics", "plots")
        # Every stage reads params.yaml where it stands.
        if not path.startswith(("src/", "stages/")) and path != "params.yaml"
    }

    def related(path: str, other: str) -> bool:
        return path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")

    assert {path for path in given if not any(related(path, f) for f in files)} == set()
    assert {path for path in files if not any(related(path, g) for g in given)} == set()


def test_uncached_outputs_are_metrics_and_plots():
    # One uncached plain output keeps the whole stage out of DVC's run cache. These may be: they
    # take little time, and their prose, tables and figures are neither metric nor plot.
    uncached = {
        name
        for name, stage in STAGES.items()
        for out in stage.get("outs", [])
        if isinstance(out, dict)
    }
    assert uncached == {"images", "imputation", "report", "rubin", "sweep", "times"}


def test_people_compare_experiments_by_one_file():
    metrics = {path for stage in STAGES.values() for path in declared(stage, "metrics")}
    assert metrics == {"reports/metrics.json"}
