"""Files of models that lie: each is refused when it is read, in one line, or fills tables in."""

import json
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings

from benchmarks.fuzz import attempt, make_models, read_model
from vaefill import VAEImputer
from vaefill.errors import FileError

MODELS = make_models()
QUICK = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}


def described(content):
    """Take a file's JSON and tensors apart."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return json.loads(header["__metadata__"]["imputer"]), safetensors.torch.load(content)


STATE, TENSORS = described(MODELS["vaefill"])


def written(state, tensors=TENSORS):
    return safetensors.torch.save(tensors, {"imputer": json.dumps(state)})


def places(value, *path):
    """List the ways to everything in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, *path, key)


def put(value, path, found):
    """Give a JSON value with something else at the end of a way."""
    if not path:
        return found
    key, *rest = path
    if isinstance(value, dict):
        return {**value, key: put(value[key], rest, found)}
    return [*value[:key], put(value[key], rest, found), *value[key + 1 :]]


@pytest.fixture
def path(tmp_path):
    (tmp_path / "model").mkdir()
    return tmp_path / "model" / "file"


def refusal(path, content):
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        VAEImputer.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_the_lies_are_told_of_is_read(path):
    for content in (*MODELS.values(), written(STATE)):
        assert attempt(read_model, path, content) is None


LIES = {
    "version as text": (("version",), "1"),
    "absurd width": (("settings", "n_latents"), 10**12),
    "other seed": (("fitted", "seed_"), -1),
    "other number of columns": (("fitted", "n_features_in_"), 10**9),
    "other names": (("fitted", "feature_names_in_"), ["a", "b", "d"]),
    "a column less": (("columns", "columns"), STATE["columns"]["columns"][:2]),
    "a name less": (("columns", "names"), ["a", "b"]),
    "a category less": (("columns", "columns", 2, "levels"), ["x", "y"]),
    "unknown kind": (("columns", "columns", 2, "kind"), "evil"),
    "no range": (("columns", "columns", 0, "lower"), math.nan),
    "text for a range": (("columns", "columns", 0, "upper"), "evil"),
    "number for a network": (("completion", "network"), 1),
    "absurd layer": (("completion", "network", "hidden"), [10**12]),
    "absurd code": (("completion", "network", "n_latents"), 10**12),
    "no degrees of freedom": (("completion", "network", "df"), 0),
    "another tensor": (("completion", "standard", "mu"), {"tensor": "weights"}),
}


@pytest.mark.parametrize(("place", "value"), LIES.values(), ids=LIES)
def test_json_that_lies_is_refused(path, place, value):
    refusal(path, written(put(STATE, place, value)))


@settings(max_examples=80, **QUICK)
@given(
    st.sampled_from([place for place in places(STATE) if "loss_curve_" not in place]),
    st.sampled_from([None, 0, -1, 2, 1e300, math.inf, "", "evil\n", [], [2], {}, True]),
)
def test_anything_anywhere_in_the_json_is_refused_or_does_no_harm(path, place, value):
    attempt(read_model, path, written(put(STATE, place, value)))


CHANGES = {
    "nan": lambda tensor: torch.full_like(tensor, math.nan),
    "infinite": lambda tensor: torch.full_like(tensor, math.inf),
    "huge": lambda tensor: tensor + 1e9,
    "complex": lambda tensor: tensor.to(torch.complex64),
    "shorter": lambda tensor: tensor[..., :-1].contiguous(),
    "longer": lambda tensor: torch.cat([tensor, tensor], -1),
    "empty": lambda tensor: tensor[:0],
    "one axis more": lambda tensor: tensor[None],
    "no axis": lambda tensor: torch.tensor(1.0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_tensors_that_do_not_fit_are_refused_or_do_no_harm(path, change):
    for name in TENSORS:
        attempt(read_model, path, written(STATE, TENSORS | {name: change(TENSORS[name].float())}))
    weights = {"network.weights": change(TENSORS["network.weights"])}
    assert refusal(path, written(STATE, TENSORS | weights))


def test_nan_in_a_model_of_images_is_refused(path):
    tensors = safetensors.torch.load(MODELS["safetensors"])
    with_nan = tensors | {"networks.prior.bias": tensors["networks.prior.bias"] * math.nan}
    length = int.from_bytes(MODELS["safetensors"][:8], "little")
    metadata = json.loads(MODELS["safetensors"][8 : 8 + length])["__metadata__"]
    assert "nan" in refusal(path, safetensors.torch.save(with_nan, metadata))


def test_trees_that_lead_back_or_turn_for_ever_are_refused(path):
    X = np.random.default_rng(0).normal(size=(30, 2))
    X[::3, 0] = math.nan
    small = {"max_iter": 2, "hidden": (4,), "n_latents": 2, "random_state": 0}
    state, tensors = described(VAEImputer(experts="thorough", **small).fit(X).to_bytes())
    refusal(path, written(put(state, ("completion", "forest", "n_rounds"), 10**12), tensors))
    name = "forest.trees.0.child"
    leads_back = tensors[name].flip(0)
    assert "leads back" in refusal(path, written(state, tensors | {name: leads_back}))


def test_absurd_headers_are_refused(path):
    whole = MODELS["vaefill"]
    for length in (2**63, len(whole), 0, 1):
        refusal(path, length.to_bytes(8, "little") + whole[8:])
    absurd = {"x": {"dtype": "F64", "shape": [2**40, 2**20], "data_offsets": [0, 2**63]}}
    header = json.dumps(absurd).encode()
    refusal(path, len(header).to_bytes(8, "little") + header)
    for text in ("[" * 10_000_000, json.dumps({"version": "9" * 10_000_000}), '{"version": 1e999}'):
        refusal(path, safetensors.torch.save({}, {"imputer": text}))


@settings(max_examples=80, **QUICK)
@given(st.data(), st.sampled_from(sorted(MODELS)))
def test_damaged_bytes_are_refused_or_do_no_harm(path, data, kind):
    content = bytearray(MODELS[kind])
    # The header is where a byte says something.
    place = data.draw(st.integers(0, 4000) | st.integers(0, len(content) - 1))
    content[place : place + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    attempt(read_model, path, bytes(content))
