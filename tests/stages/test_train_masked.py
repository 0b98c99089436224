"""The stage around `fit` for models trained to impute: its params, messages and files."""

import os

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT

from stages.budget import main as budget
from stages.train_masked import main
from study.params import read_yaml, run
from vaefill.models import load
from vaefill.storage import load_table

SMALL = {
    "latent": 2, "epochs": 2, "batch_size": 8, "lr": 0.002, "optimizer": "muon",
    "mixed_precision": False,
}  # fmt: skip
WIDE = [4, 8, 8, 8]


class Stage:
    """The project's own params with small values, and a way to run the stage on them."""

    def __init__(self, root):
        self.root = root
        (root / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
        self.params = read_yaml(ROOT / "params.yaml")
        self.params["device"] = "cpu"
        self.params["masked"] |= {
            "mixture": {"square": {"weight": 1, "size": [2, 5]}},
            "mlp": SMALL | {"widths": [8, 4]},
            "conv": SMALL | {"widths": WIDE},
        }
        images = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
        parts = {"train": images[:20], "valid": images[20:], "test": images[20:]}
        np.savez(root / "split.npz", **{f"{part}_images": own for part, own in parts.items()})

    def train(self, model="t", networks="conv", seed=0, masked=None, options=(), **changes):
        params = self.params | changes | {"masked": self.params["masked"] | (masked or {})}
        (self.root / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
        files = {"split": "split.npz", "out": "model", "history": "history.csv"}
        arguments = {"model": model, "networks": networks, "seed": seed}
        flags = [f"--{key}={value}" for key, value in (files | arguments).items()] + [*options]
        run(lambda: main(flags))
        return (self.root / "model").read_bytes()


@pytest.fixture
def stage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "DVC_ROOT", str(tmp_path))
    deterministic = torch.are_deterministic_algorithms_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory
    yield Stage(tmp_path)
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = filling


@pytest.mark.parametrize("networks", ["mlp", "conv"])
@pytest.mark.parametrize("model", ["gauss", "t"])
def test_files_hold_what_params_asked_for(stage, networks, model):
    stage.train(model, networks, df=5, joint="multivariate")
    architecture = load("model").architecture
    assert architecture["networks"] == networks
    assert architecture["shape"] == [8, 8]
    assert architecture["latent"] == 2
    expected = ("t", 5, "multivariate") if model == "t" else ("gauss", None, None)
    assert tuple(architecture[key] for key in ("family", "df", "joint")) == expected
    history = load_table("history.csv")
    facts = [(row["epoch"], row["precision"]) for row in history]
    assert facts == [("1", "float32"), ("2", "float32")]
    first, second = (float(row["tflop"]) for row in history)
    assert second == pytest.approx(2 * first, rel=1e-4)
    assert not list(stage.root.glob(".checkpoints/*/state.pt"))


def test_seed_decides_and_nothing_else(stage):
    first = stage.train()
    assert stage.train() == first
    assert stage.train(seed=1) != first


def test_a_model_of_another_budget_is_scored_beside_its_work(stage):
    curves = {"random": {"fraction": [0.5]}, "square": {"size": [2, 3]}}
    budgets = {"epochs": [3], "seeds": [0], "seed": 0, "images": 7, "curves": curves}
    stage.train("gauss", masked={"budgets": budgets}, options=["--epochs=3"])
    last = load_table("history.csv")[-1]
    assert last["epoch"] == "3"
    files = {"model": "model", "history": "history.csv", "split": "split.npz", "out": "out.csv"}
    run(lambda: budget(["--networks=conv", *(f"--{k}={v}" for k, v in files.items())]))
    rows = load_table("out.csv")
    facts = {"networks": "conv", "epochs": "3", "tflop": last["tflop"], "images": "7"}
    assert all(facts.items() <= row.items() for row in rows)
    cases = [("random", "0.5"), ("square", "2"), ("square", "3")]
    assert [(r["mechanism"], r["setting"]) for r in rows[::3]] == cases
    of_image, _, of_missing = (float(row["value"]) for row in rows[3:6])
    assert of_image == pytest.approx(of_missing * 4 / 64, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mixture": {"circle": {"weight": 1}}}, "mixture: 'circle': must be one of random"),
        (
            {"mixture": {"square": {"weight": 1, "size": [2, 90]}}},
            "square: size = 90: must be from 1 to 8 whole pixels",
        ),
        ({"conv": SMALL | {"widths": WIDE, "lr": 7}}, r"masked.conv.lr = 7: .* less than 1"),
        ({"conv": SMALL | {"widths": [4]}}, r"masked.conv.widths"),
        ({"conv": SMALL | {"widths": [4, 8]}}, r"widths = \[4, 8\]: must be four"),
        (
            {"conv": SMALL | {"widths": WIDE, "optimizer": "lion"}},
            "masked.conv.optimizer = 'lion': Input should be 'adam', 'momentum', 'muon' or 'sgd'",
        ),
        ({"warmup": 0}, r"masked.warmup = 0: .* greater than 0"),
    ],
)
def test_bad_params_end_in_one_line(stage, change, message):
    with pytest.raises(SystemExit, match=message) as refused:
        stage.train(masked=change)
    assert "\n" not in refused.value.code
    assert not (stage.root / "model").exists()
