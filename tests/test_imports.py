"""What an import costs, what it needs, and what an installation holds."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib

import grimp
from conftest import ROOT

LIGHT = """
import vaefill, vaefill.errors, vaefill.storage
import vaefill.metrics.calibration, vaefill.metrics.images, vaefill.metrics.rubin
import vaefill.metrics.statistics, vaefill.missingness.mechanisms, vaefill.missingness.mixture
assert "torch" not in sys.modules
"""
EVERYTHING = """
import importlib, pkgutil, vaefill
for module in pkgutil.walk_packages(vaefill.__path__, "vaefill."):
    if module.name != "vaefill.dask":  # which needs the extra "cluster"
        importlib.import_module(module.name)
from vaefill.baselines import BASELINES
from vaefill.inference import METHODS, Inferred, flagged, impute, infer, predict
from vaefill.models import (
    VAE, Bernoulli, ConditionalVAE, ContinuousBernoulli, MultivariateT, Normal, StudentT, load, save
)
"""
# Nothing but the library's own dependencies: a package that is set to None does not import.
ALONE = """
import sys
for name in ("dvc", "pandas", "pydantic", "ruamel", "yaml", "dask", "distributed", "platformdirs",
             "study", "stages", "tools"):
    sys.modules[name] = None
"""


def test_the_library_imports_alone_and_in_part_without_torch():
    command = [sys.executable, "-W", "error", "-c", ALONE + LIGHT + EVERYTHING]
    done = subprocess.run(command, cwd=ROOT / "src", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_wheel_holds_the_library_and_asks_for_what_it_imports():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"] == {"wheel": {"packages": ["src/vaefill"]}}
    extra = project["project"]["optional-dependencies"]["cluster"]
    lines = project["project"]["dependencies"] + extra
    asked = {re.match(r"[\w-]+", line)[0] for line in lines}
    graph = grimp.build_graph(
        "vaefill",
        include_external_packages=True,
        cache_dir=None,
        exclude_type_checking_imports=True,
    )
    outside = {name for name in graph.modules if name.split(".")[0] != "vaefill"}
    distributions = importlib.metadata.packages_distributions()
    found = {distributions[name][0].lower() for name in outside - sys.stdlib_module_names}
    assert found == asked
