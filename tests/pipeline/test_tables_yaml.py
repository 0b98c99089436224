"""The benchmark's dvc.yaml says what its stages really use, and its stages work hand in hand."""

import importlib
import shlex

import grimp
import pytest
from conftest import ROOT
from study_tables import StandIn

import vaefill
from stages.tables import HOME
from study.params import read_params, read_yaml
from study.tables.data import TABLES
from study.tables.hiding import Condition
from study.tables.rivals import RIVALS
from vaefill.storage import load_table, save_json, save_table

STAGES = read_yaml(ROOT / HOME / "dvc.yaml")["stages"]
SCHEMAS = {
    "fetch": "FetchParams", "rivals": "RivalsParams", "ours": "OursParams",
    "contaminated": "ContaminatedParams", "public": "PublicParams", "page": "PageParams",
}  # fmt: skip
#: As in tests/pipeline/test_dvc_yaml.py.
INERT = {"stages", "stages.tables", "study", "study.params", "study.tables", "vaefill"}
INERT |= {"vaefill.errors"}
each_stage = pytest.mark.parametrize("name", STAGES)


def code_of(stage):
    paths = (path for path in stage["deps"] if path.startswith(("src/", "stages/")))
    return {path.removeprefix("src/").removesuffix(".py").replace("/", ".") for path in paths}


@pytest.fixture(scope="module")
def imports():
    return grimp.build_graph(
        "vaefill", "study", "stages", cache_dir=None, exclude_type_checking_imports=True
    )


@each_stage
def test_code_deps_cover_the_imports(name, imports):
    module = shlex.split(STAGES[name]["cmd"])[2]
    named = code_of(STAGES[name])
    used = {module, *imports.find_upstream_modules(module)} - INERT
    covered = {one for one in used for dep in named if f"{one}.".startswith(f"{dep}.")}
    assert used - covered == set()
    # The library's imputer is imported by its public name alone.
    ours = {dep for dep in named if dep.startswith(("study", "stages"))}
    assert {dep for dep in ours if not any(f"{m}.".startswith(f"{dep}.") for m in used)} == set()


@each_stage
def test_params_are_those_that_the_stage_reads(name):
    schema = getattr(importlib.import_module(f"stages.tables.{name}"), SCHEMAS[name])
    (listed,) = [entry for entry in STAGES[name]["params"] if isinstance(entry, dict)]
    assert listed == {f"{HOME}/params.yaml": sorted(schema.model_fields)}
    assert read_params(schema, ROOT / HOME)


def test_tracked_params_name_what_there_is():
    params = read_yaml(ROOT / HOME / "params.yaml")
    assert set(params["tables"]) <= set(TABLES)
    assert set(params["rivals"]) == set(RIVALS)
    assert set(params["left_out"]) <= set(RIVALS)
    assert set().union(*params["left_out"].values()) <= set(params["tables"])
    assert set(params["contamination"]["tables"]) <= set(params["tables"])
    for text in (*params["conditions"], params["contamination"]["condition"]):
        assert str(Condition.parse(text)) == text


TINY = """\
tables: [wine]
conditions: [mcar-30]
seeds: [0]
n_draws: 19
rivals: [mean, knn]
left_out: {knn: [letter]}
contamination: {tables: [wine], condition: mcar-30, shares: [0.0, 0.1], size: 10.0, seeds: [0, 1]}
"""


def test_from_the_tables_to_the_page(tmp_path, monkeypatch):
    (tmp_path / HOME).mkdir(parents=True)
    (tmp_path / HOME / "dvc.yaml").write_bytes((ROOT / HOME / "dvc.yaml").read_bytes())
    (tmp_path / HOME / "params.yaml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(vaefill, "VAEImputer", StandIn, raising=False)
    for name, stage in STAGES.items():
        if name == "page":
            folder = tmp_path / "reports/tables"
            save_table(
                folder / "times.csv", ("table", "imputer", "seconds"), [("wine", "knn", 1.0)]
            )
            header = ("task", "rows", "columns", "rate", "seconds")
            save_table(folder / "speed.csv", header, [("fit", 10_000, 50, 30, 50.0)])
            save_json(folder / "times.json", {"threads": 1})
        command = stage["cmd"].replace("${item.table}", "wine")
        _, _, module, *arguments = shlex.split(command.replace("${item.condition}", "mcar-30"))
        importlib.import_module(module).main(arguments)
    rows = load_table("reports/tables/rivals/wine-mcar-30.csv")
    assert [row["imputer"] for row in rows] == ["complete", "mean", "knn"]
    text = (tmp_path / "docs/benchmark.md").read_text("utf-8")
    assert "in 0 of 1 cells" in text  # the stand-in fills in means
    assert "It is behind on wine (1)" in text
    assert (tmp_path / "docs/benchmark/ratios.png").exists()
