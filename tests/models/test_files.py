"""Files of models: of every kind, damaged, foreign, and as written before."""

import json
import math

import pytest
import safetensors
import safetensors.torch
import torch

from vaefill.errors import FileError
from vaefill.models import VAE, Bernoulli, ConditionalVAE, StudentT, load, save

SMALL = {"pixels": 16, "hidden": [5, 4], "latent": 2}
CONDITIONAL = {"shape": [4, 4], "latent": 2}
MODELS = {
    "gauss": (VAE, "gauss", SMALL),
    "continuous": (VAE, "gauss", SMALL | {"likelihood": "continuous_bernoulli"}),
    "t": (VAE, "t", SMALL | {"df": 2.5}),
    "infinite": (VAE, "t", SMALL | {"df": math.inf, "joint": "product"}),
    "multivariate": (VAE, "t", SMALL | {"df": 21.0, "joint": "multivariate"}),
    "mlp": (ConditionalVAE, "t", CONDITIONAL | {"df": 5.0, "widths": [4, 3]}),
    "conv": (ConditionalVAE, "gauss", CONDITIONAL | {"networks": "conv", "widths": [4] * 4}),
}


def make(name: str = "t") -> VAE | ConditionalVAE:
    kind, family, settings = MODELS[name]
    return kind(family, **settings, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", MODELS)
def test_file_gives_the_model_back(tmp_path, name):
    model = make(name)
    save(tmp_path / "model", model)
    again = load(tmp_path / "model")
    assert type(again) is type(model)
    assert again.architecture == model.architecture
    assert not again.training
    x = torch.rand(3, 16)
    given = (x, x < 0.5) if isinstance(model, ConditionalVAE) else (x,)
    first, second = model.posterior(*given), again.posterior(*given)
    assert type(first) is type(second)
    assert torch.equal(first.mu, second.mu)
    save(tmp_path / "other name", again)
    assert (tmp_path / "model").read_bytes() == (tmp_path / "other name").read_bytes()


def test_a_file_holds_its_architecture_and_nothing_else_beside_the_weights(tmp_path):
    save(tmp_path / "model", make("infinite"))
    with safetensors.safe_open(tmp_path / "model", framework="pt") as file:
        assert file.metadata() == {
            "architecture": '{"df": "inf", "family": "t", "hidden": [5, 4], "joint": "product", '
            '"latent": 2, "likelihood": "bernoulli", "pixels": 16}'
        }
        assert set(file.keys()) == set(make("infinite").state_dict())


def change(path, drop=(), **changes):
    """Write another architecture beside the weights."""
    with safetensors.safe_open(path, framework="pt") as file:
        architecture = json.loads(file.metadata()["architecture"]) | changes
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    kept = {key: value for key, value in architecture.items() if key not in drop}
    path.write_bytes(safetensors.torch.save(weights, {"architecture": json.dumps(kept)}))


def test_a_file_that_names_neither_is_product_and_bernoulli(tmp_path):
    save(tmp_path / "model", make())
    change(tmp_path / "model", drop=("joint", "likelihood"))
    again, x = load(tmp_path / "model"), torch.rand(3, 16)
    assert type(again.posterior(x)) is StudentT
    assert type(again.likelihood(torch.zeros(2))) is Bernoulli
    assert torch.equal(again.posterior(x).mu, make().posterior(x).mu)


def cut(keep):
    return lambda path: path.write_bytes(path.read_bytes()[:keep])


def foreign(path):
    path.write_bytes(safetensors.torch.save({"weight": torch.zeros(2)}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "model: no such file$"),
        *[(cut(keep), r"model: not a model \(.safetensors\) \(.*\); replace it") for keep in
          (0, 4, 100, -1)],
        (lambda path: torch.save({"weight": torch.zeros(2)}, path), "not a model"),
        (foreign, r"not a model of vaefill \(weights and architecture do not match\)"),
        (lambda path: change(path, latent=3), r"\(weights and architecture do not match\)"),
        (lambda path: change(path, networks="mlp"), r"\(weights and architecture do not match\)"),
        (lambda path: change(path, joint="both"), r"not a model of vaefill \(joint = 'both': must"),
        (lambda path: change(path, likelihood="normal"), r"\(likelihood = 'normal': must be one"),
        (lambda path: change(path, df="-1"), r"not a model of vaefill \(df = -1\.0: "),
    ],
)  # fmt: skip
def test_a_file_that_is_no_model_is_named(tmp_path, damage, message):
    save(tmp_path / "model", make())
    damage(tmp_path / "model")
    with pytest.raises(FileError, match=message) as error:
        load(tmp_path / "model")
    assert "\n" not in str(error.value)
