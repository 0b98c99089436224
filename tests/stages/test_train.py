"""The stage around `fit`: its params, its messages and its files, on tiny images."""

import os

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT

from stages.train import main
from study.params import read_yaml, run
from vaefill.models import load
from vaefill.storage import load_table

RECIPES = {
    "fast": {"schedule": "one_cycle", "epochs": 2, "batch_size": 8, "lr": 0.005, "warmup": 0.3},
    "slides": {"schedule": "constant", "epochs": 2, "batch_size": 8, "lr": 0.005},
}


def recipe(**changes):
    return {"train": RECIPES | {"slides": RECIPES["slides"] | changes}}


class Stage:
    """The project's own params with small values, and a way to run the stage on them."""

    def __init__(self, root):
        self.root = root
        (root / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
        self.params = read_yaml(ROOT / "params.yaml")
        self.params |= {"device": "cpu", "model": {"hidden": [6], "latent": 2}, "train": RECIPES}
        images = np.random.default_rng(0).integers(0, 256, (30, 4, 4), dtype=np.uint8)
        np.savez(root / "split.npz", train_images=images[:20], valid_images=images[20:])

    def train(self, model="t", recipe="slides", seed=0, **changes):
        (self.root / "params.yaml").write_text(yaml.safe_dump(self.params | changes), "utf-8")
        files = {"split": "split.npz", "out": "model", "history": "history.csv"}
        arguments = {"model": model, "recipe": recipe, "seed": seed}
        flags = [f"--{key}={value}" for key, value in (files | arguments).items()]
        run(lambda: main(flags))

    def refusal(self, **changes):
        with pytest.raises(SystemExit) as refused:
            self.train(**changes)
        return refused.value.code


@pytest.fixture
def stage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "DVC_ROOT", str(tmp_path))
    deterministic = torch.are_deterministic_algorithms_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory
    yield Stage(tmp_path)
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = filling


@pytest.mark.parametrize("recipe", RECIPES)
def test_files_hold_what_params_asked_for(stage, recipe):
    stage.train(recipe=recipe, df=5, joint="multivariate", likelihood="continuous_bernoulli")
    architecture = load("model").architecture
    assert architecture["df"] == 5
    assert architecture["joint"] == "multivariate"
    assert architecture["likelihood"] == "continuous_bernoulli"
    first, last = load_table("history.csv")
    assert (first["epoch"], last["epoch"]) == ("1", "2")
    assert (last["device"], last["torch"], last["precision"]) == (
        "cpu", torch.__version__, "float32",
    )  # fmt: skip
    assert not list((stage.root / ".checkpoints").glob("*/*"))


def test_every_setting_reaches_the_weights_and_nothing_else_does(stage):
    changes = [
        {}, {"recipe": "fast"}, {"seed": 1}, {"df": 5}, {"joint": "multivariate"},
        {"kl": "quadrature"}, {"kl_weight": 0.5}, {"likelihood": "continuous_bernoulli"},
        recipe(init="he"), recipe(init="xavier"), recipe(init="normal"),
        recipe(optimizer="sgd"), recipe(optimizer="momentum"),
        recipe(init="torch", optimizer="adam"),
    ]  # fmt: skip

    def weights(**settings):
        stage.train(**settings)
        return torch.nn.utils.parameters_to_vector(load("model").parameters())

    plain = weights()
    same = [change for change in changes if torch.equal(weights(**change), plain)]
    assert same == [{}, recipe(init="torch", optimizer="adam")]


def test_the_gaussian_model_knows_nothing_of_the_ts_params(stage):
    results = []
    for changes in ({}, {"df": 3, "joint": "multivariate", "kl": "quadrature"}):
        stage.train("gauss", **changes)
        results.append((stage.root / "model").read_bytes())
    assert results[0] == results[1]


@pytest.mark.parametrize("df", [0.5, 2])
def test_df_without_variance_runs_with_a_warning(stage, capsys, df):
    stage.train(df=df)
    lines = capsys.readouterr().err.splitlines()
    expected = f"warning: df = {df}: a t distribution with df <= 2 has no variance"
    assert [line for line in lines if "warning" in line] == [expected]
    assert load("model").architecture["df"] == df


@pytest.mark.parametrize(("model", "df"), [("t", 2.5), ("t", 21), ("gauss", 1.0)])
def test_other_models_run_without_one(stage, capsys, model, df):
    stage.train(model, df=df)
    assert "warning" not in capsys.readouterr().err


def test_infinite_df_is_the_gaussian_model(stage):
    # As a training: the exact KL, and so the same weights but for rounding.
    stage.train("gauss", recipe="fast")
    gauss = load("model").state_dict()
    for joint in ("product", "multivariate"):
        stage.train(recipe="fast", df=float("inf"), kl="quadrature", joint=joint)
        torch.testing.assert_close(load("model").state_dict(), gauss, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "nope"}, "recipes has 'nope': train has no such recipe, only fast, slides"),
        ({"train": {"slides": RECIPES["slides"] | {"schedule": "cosine"}}}, "'cosine'"),
        ({"train": {"slides": RECIPES["slides"] | {"warmup": 0.1}}}, "warmup = 0.1: no stage"),
        ({"train": {"slides": RECIPES["fast"] | {"warmup": 1.0}}}, "warmup = 1.0: "),
        (
            recipe(init="zeros"),
            "init = 'zeros': Input should be 'torch', 'he', 'xavier' or 'normal'",
        ),
        (recipe(optimizer="lion"), "optimizer = 'lion': Input should be 'adam', 'sgd' or 'moment"),
        ({"seed": -1}, "seeds has -1: a seed is 0 or above"),
        ({"kl_weight": -0.5}, "kl_weight = -0.5: "),
        ({"joint": "both"}, "joint = 'both': "),
        ({"kl": "exact"}, "kl = 'exact': "),
        ({"likelihood": "normal"}, "likelihood = 'normal': "),
        ({"df": 0}, "df = 0: must be a number above 0"),
        ({"threads": 0}, "threads = 0: Input should be greater than or equal to 1"),
        ({"threads": "all"}, "threads = 'all': Input should be a valid integer"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_used_is_refused_in_one_line(stage, changes, message):
    line = stage.refusal(**changes)
    assert line.startswith("error: params.yaml: ")
    assert message in line
    assert "\n" not in line
    assert not (stage.root / "model").exists()
