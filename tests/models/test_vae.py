import json
import math

import pytest
import safetensors
import safetensors.torch
import torch

from vaefill.errors import InputError
from vaefill.models.distributions import MultivariateT, Normal, StudentT
from vaefill.models.likelihoods import Bernoulli, ContinuousBernoulli
from vaefill.models.vae import VAE, load_vae, save_vae

SMALL = {"pixels": 6, "hidden": [5, 4], "latent": 2}


def make(family: str = "gauss", df: float | None = None, seed: int = 0, **settings) -> VAE:
    return VAE(family, df=df, **(SMALL | settings), generator=torch.Generator().manual_seed(seed))


def test_default_sizes_are_the_slides():
    vae = VAE("gauss", generator=torch.Generator())
    shapes = [tuple(p.shape) for name, p in vae.named_parameters() if name.endswith("weight")]
    assert shapes == [(400, 784), (128, 400), (20, 128), (128, 10), (400, 128), (784, 400)]


def test_models_differ_in_the_family_alone():
    gauss, student = make("gauss"), make("t", 21.0)
    for a, b in zip(gauss.parameters(), student.parameters(), strict=True):
        assert torch.equal(a, b)
    x = torch.rand(3, 6)
    q, r = gauss.posterior(x), student.posterior(x)
    assert isinstance(q, Normal)
    assert isinstance(r, StudentT)
    assert r.df == 21.0
    assert torch.equal(q.mu, r.mu)
    assert torch.equal(q.logvar, r.logvar)
    assert torch.equal(gauss.prior.mu, torch.zeros(2))


def test_initial_weights_come_from_the_generator_alone():
    torch.manual_seed(1)
    a = make(seed=3)
    torch.manual_seed(2)
    b, c = make(seed=3), make(seed=4)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(next(a.parameters()), next(c.parameters()))


def test_initial_weights_fill_pytorchs_range():
    weight = VAE("gauss", generator=torch.Generator().manual_seed(0)).encoder.layers[0].weight
    bound = 784**-0.5
    assert weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=1e-2)


@pytest.mark.parametrize(
    ("joint", "posterior"),
    [(None, StudentT), ("product", StudentT), ("multivariate", MultivariateT)],
)
@pytest.mark.parametrize(
    ("likelihood", "pixels"),
    [("bernoulli", Bernoulli), ("continuous_bernoulli", ContinuousBernoulli)],
)
def test_joint_and_likelihood_choose_distributions_and_no_weights(
    joint, posterior, likelihood, pixels
):
    vae, plain = make("t", 5.0, joint=joint, likelihood=likelihood), make()
    x = torch.rand(3, 6)
    code = vae.posterior(x)
    assert type(code) is type(vae.prior) is posterior
    assert code.df == vae.prior.df == 5.0
    law = vae.likelihood(code.mu)
    assert type(law) is pixels
    assert torch.equal(law.logits, plain.decoder(plain.posterior(x).mu))


MODELS = [
    ("gauss", None, {}),
    ("gauss", None, {"likelihood": "continuous_bernoulli"}),
    ("t", 2.5, {}),
    ("t", math.inf, {"joint": "product"}),
    ("t", 21.0, {"joint": "multivariate", "likelihood": "continuous_bernoulli"}),
]


@pytest.mark.parametrize(("family", "df", "settings"), MODELS)
def test_file_gives_the_model_back(tmp_path, family, df, settings):
    vae = make(family, df, **settings)
    save_vae(tmp_path / "model", vae)
    again = load_vae(tmp_path / "model")
    assert again.architecture == vae.architecture
    assert not again.training
    x = torch.rand(3, 6)
    assert torch.equal(again.posterior(x).mu, vae.posterior(x).mu)
    assert type(again.prior) is type(vae.prior)
    assert torch.equal(again.likelihood(x[:, :2]).mean, vae.likelihood(x[:, :2]).mean)
    save_vae(tmp_path / "other name", again)
    assert (tmp_path / "model").read_bytes() == (tmp_path / "other name").read_bytes()


@pytest.mark.parametrize("df", [0.0, -1.0, math.nan, None])
def test_df_must_be_positive(df):
    with pytest.raises(InputError, match=r"df = .*above 0"):
        make("t", df)


def test_gaussian_has_no_df():
    with pytest.raises(InputError, match=r"df = 21: the Gaussian model has none; leave it out"):
        make("gauss", 21)


def test_gaussian_has_no_joint():
    with pytest.raises(InputError, match=r"joint = product: the Gaussian model has none"):
        make("gauss", joint="product")


def test_unknown_joint():
    with pytest.raises(InputError, match=r"joint = 'both': must be one of product, multivariate"):
        make("t", 5.0, joint="both")


def test_unknown_likelihood():
    expected = r"likelihood = 'normal': must be one of bernoulli, continuous_bernoulli"
    with pytest.raises(InputError, match=expected):
        make(likelihood="normal")


def test_unknown_family():
    with pytest.raises(InputError, match=r"family = 'cauchy': must be one of gauss, t"):
        make("cauchy")


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"no such file; `dvc repro` makes it"):
        load_vae(tmp_path / "none")


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_file(tmp_path, keep):
    path = tmp_path / "model"
    save_vae(path, make())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"not a model \(.safetensors\)"):
        load_vae(path)


def test_file_of_another_architecture(tmp_path):
    wide = make(latent=3)
    wide.architecture = make().architecture
    save_vae(tmp_path / "model", wide)
    with pytest.raises(InputError, match=r"weights and architecture do not match"):
        load_vae(tmp_path / "model")


def test_safetensors_of_another_project(tmp_path):
    content = safetensors.torch.save({"weight": torch.zeros(2)})
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(InputError, match=r"not a model of vaefill"):
        load_vae(tmp_path / "model")


def test_pickle_is_not_executed(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "model")
    with pytest.raises(InputError, match=r"not a model"):
        load_vae(tmp_path / "model")


def change_architecture(path, drop=(), **changes):
    with safetensors.safe_open(path, framework="pt") as file:
        architecture = json.loads(file.metadata()["architecture"]) | changes
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    kept = {key: value for key, value in architecture.items() if key not in drop}
    path.write_bytes(safetensors.torch.save(weights, {"architecture": json.dumps(kept)}))


def test_a_file_that_names_neither_is_product_and_bernoulli(tmp_path):
    path, vae = tmp_path / "model", make("t", 5.0)
    save_vae(path, vae)
    change_architecture(path, drop=("joint", "likelihood"))
    again, x = load_vae(path), torch.rand(3, 6)
    assert type(again.posterior(x)) is StudentT
    assert type(again.likelihood(torch.zeros(2))) is Bernoulli
    assert torch.equal(again.posterior(x).mu, vae.posterior(x).mu)


@pytest.mark.parametrize("change", [{"joint": "both"}, {"likelihood": "normal"}, {"df": "-1"}])
def test_file_with_impossible_settings(tmp_path, change):
    save_vae(tmp_path / "model", make("t", 5.0))
    change_architecture(tmp_path / "model", **change)
    with pytest.raises(InputError, match=r"not a model of vaefill"):
        load_vae(tmp_path / "model")
