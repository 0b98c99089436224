"""One run of factors.yaml on tiny images, beside what the pipeline itself makes of the same."""

import os

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT

from stages import factor, train
from study.params import read_yaml, run
from study.trials.sweep import DIVERGED
from vaefill.inference import predict
from vaefill.models import load
from vaefill.storage import load_table

RECIPE = {"schedule": "constant", "epochs": 2, "batch_size": 8, "lr": 0.005}
PLAN = """recipe: tiny
experiments:
  - {model: [gauss, t], init: he, optimizer: momentum, lr: 0.001}
  - {model: gauss, init: he, optimizer: sgd, lr: 0.9}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "DVC_ROOT", str(tmp_path))
    (tmp_path / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    (tmp_path / "factors.yaml").write_text(PLAN)
    same = RECIPE | {"init": "he", "optimizer": "momentum", "lr": 0.001}
    params = read_yaml(ROOT / "params.yaml") | {
        "device": "cpu", "model": {"hidden": [6], "latent": 2}, "seeds": [0, 1],
        "train": {"tiny": RECIPE, "same": same},
    }  # fmt: skip
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (38, 8, 8), dtype=np.uint8)
    split = {"train_images": images[:20], "valid_images": images[20:30], "test_images": images[30:]}
    np.savez(tmp_path / "split.npz", **split)
    missing = {"random": rng.random((8, 8, 8)) < 0.4, "square": rng.random((8, 8, 8)) < 0.2}
    np.savez(tmp_path / "missing.npz", **missing)
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield split["test_images"] / np.float32(255), missing
    torch.use_deterministic_algorithms(deterministic)


def scores(name):
    files = {"plan": "factors.yaml", "split": "split.npz", "missing": "missing.npz", "out": "out"}
    run(lambda: factor.main([f"--name={name}", *(f"--{k}={v}" for k, v in files.items())]))
    return {row["name"]: float(row["value"]) for row in load_table("out")}


@pytest.mark.parametrize("model", ["gauss", "t"])
def test_a_run_scores_the_model_that_the_pipeline_trains(project, tmp_path, model):
    images, missing = project
    found = scores(f"{model}-he-momentum-lr0.001-s1")
    files = {"split": "split.npz", "out": "model", "history": "history.csv"}
    arguments = files | {"model": model, "recipe": "same", "seed": 1}
    train.main([f"--{key}={value}" for key, value in arguments.items()])
    vae = load("model")
    for mechanism, gaps in missing.items():
        prediction = predict(vae, images, gaps)
        error = np.square(prediction.astype(float) - images)
        for output, part in (("prediction", error), ("imputation", error * gaps)):
            name = f"{mechanism}/single_pass/{output}/image/mse"
            assert found[name] == pytest.approx(part.mean(), rel=1e-4)
        assert found[name.replace("pass", "draw")] != pytest.approx(found[name], rel=1e-4)
    assert len(found) == 3 + 2 * 2 * 2 * 3  # the ELBO's, then mechanism, method, output, metric
    elbo, reconstruction, kl = (
        found[f"none///image/{k}"] for k in ("elbo", "reconstruction", "kl")
    )
    assert elbo == pytest.approx(reconstruction - kl, rel=1e-4)
    assert scores(f"{model}-he-momentum-lr0.001-s1") == found
    assert not list((tmp_path / ".checkpoints").glob("*/*"))


def test_a_training_that_diverges_is_a_result(project):
    assert scores("gauss-he-sgd-lr0.9-s0") == {DIVERGED: 2}


def test_a_run_that_is_not_planned_is_refused(project):
    with pytest.raises(SystemExit) as refused:
        scores("gauss-he-sgd-lr0.9-s7")
    assert "factors.yaml: no run is called 'gauss-he-sgd-lr0.9-s7'" in refused.value.code
