"""A method on images whose missing pixels are known, held to stand-ins whose answers are known."""

import numpy as np
import pytest
import torch

from study.trials.imputers import load_imputer
from study.trials.trial import (
    Known,
    draw_pixels,
    draws_sheet,
    hard_cases,
    headline,
    learn_grey_levels,
    load_trials,
    score_uncertainty,
    try_imputer,
)
from vaefill.errors import InputError
from vaefill.inference.target import Inferred
from vaefill.models.conditional import ConditionalVAE
from vaefill.models.files import save
from vaefill.models.greylevels import fit_grey_levels
from vaefill.models.vae import VAE
from vaefill.storage import save_arrays

SETTINGS = {"seed": 3, "random": {"fraction": 0.3}, "square": {"size": 3}}


def gen(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Levels:
    """Images are of one grey each, which is the code; hidden pixels are that grey, or 1 - it.

    `explain` gives the code itself, `infer` a code that is wrong by `off`.
    """

    def __init__(self, off: float = 0.0, n_draws: int = 39) -> None:
        self.off, self.n_draws = off, n_draws

    def infer(self, images: torch.Tensor, missing: torch.Tensor) -> Inferred:
        seen = images.where(~missing, torch.nan).flatten(1).nanmean(1)
        codes = (seen + self.off)[None, :, None].expand(self.n_draws, -1, 1)
        return Inferred(self.decode(codes, images, missing).mean(0), codes, {"ess": seen})

    def explain(self, images: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        return images.flatten(1).mean(1)[None, :, None]

    def decode(self, codes, images, missing) -> torch.Tensor:
        return codes[..., None].expand(*codes.shape[:2], *images.shape[1:])


@pytest.fixture
def known() -> Known:
    rng = np.random.default_rng(0)
    images = np.repeat(rng.integers(40, 200, size=30), 64).reshape(30, 8, 8).astype(np.uint8)
    return Known(images, rng.random((30, 8, 8)) < 0.4)


# Of draws, the code is right whatever `infer` says: the table knows the grey. Of a single code all
# of its error is in the table: what it expects is 0.2 too bright, and draws mend it.
@pytest.mark.parametrize(("n_draws", "expected_off"), [(39, 0.0), (1, 0.2)])
def test_grey_levels_are_learned_where_the_image_is_explained(known, n_draws, expected_off):
    levels = learn_grey_levels(Levels(off=0.2, n_draws=n_draws), known, has_draws=n_draws > 1)
    grey = torch.tensor(known.images[:, 0, 0])
    drawn = levels.sample(grey[None].expand(500, -1) / 255 + expected_off, gen())
    assert (drawn.double().mean(0) - grey).abs().max() < 4  # within a bin


def test_draws_keep_what_is_observed_and_draw_the_rest(known):
    imputer = Levels()
    images, missing = known.tensors()
    codes = imputer.infer(images, missing).codes
    noise = torch.randint(256, (30, 8, 8), generator=gen(), dtype=torch.uint8)
    levels = fit_grey_levels(torch.full((30, 8, 8), 0.5), noise)  # any grey, whatever is expected
    draws = draw_pixels(imputer, codes, known, levels, n_draws=7, generator=gen())
    assert draws.shape == (7, 30, 8, 8)
    assert (draws == known.images)[:, ~known.missing].all()
    assert draws[:, known.missing].std() > 50
    assert not np.array_equal(draws[0], draws[1])


@pytest.mark.parametrize("n_draws", [39, 1])  # one code gives as many draws as are asked for
def test_ink_and_scores_by_hand(known, n_draws):
    imputer = Levels(n_draws=n_draws)
    codes = imputer.infer(*known.tensors()).codes
    levels = learn_grey_levels(imputer, known, has_draws=n_draws > 1)
    scores, ink = score_uncertainty(imputer, codes, known, levels, n_draws=39, generator=gen())
    draws = draw_pixels(imputer, codes, known, levels, n_draws=39, generator=gen())
    assert draws.shape == (39, 30, 8, 8)
    np.testing.assert_allclose(ink, draws.reshape(39, 30, -1).mean(-1) / 255, rtol=1e-6)
    np.testing.assert_array_equal(scores["pixels"], known.missing.sum((1, 2)))
    assert (scores["covered_90"] <= scores["pixels"]).all()


def test_hard_cases_hide_the_most_ink_of_each_digit():
    images = np.zeros((6, 4, 4), np.uint8)
    images[[1, 3, 4], 0] = [[50], [200], [90]]
    missing = np.zeros((6, 4, 4), bool)
    missing[:, 0] = True
    missing[3, 0, 1:] = False  # 200 are hidden of this one, 4 * 50 and 4 * 90 of the others
    labels = np.array([7, 7, 7, 2, 2, 2])
    np.testing.assert_array_equal(hard_cases(Known(images, missing), labels), [4, 1])


def test_sheet_shows_image_missing_imputation_and_draws(known):
    imputer, rows = Levels(), np.array([2, 9])
    sheet = draws_sheet(imputer, imputer.infer(*known.tensors()), known, rows, n_shown=4)
    assert sheet.shape == (2, 7, 8, 8)
    np.testing.assert_array_equal(sheet[:, 0], known.images[rows])
    np.testing.assert_array_equal(sheet[:, 1] > 0, known.missing[rows])
    for column in range(2, 7):  # all know the one grey of the image
        np.testing.assert_array_equal(sheet[:, column], known.images[rows])


def test_trials_have_test_images_as_masked_and_validation_images_alike(tmp_path):
    rng = np.random.default_rng(0)
    split = {f"{part}_images": rng.integers(256, size=(50, 8, 8)).astype(np.uint8)
             for part in ("test", "valid")}  # fmt: skip
    save_arrays(tmp_path / "split.npz", split)
    missing = {name: rng.random((50, 8, 8)) < 0.5 for name in ("random", "square")}
    save_arrays(tmp_path / "missing.npz", missing)
    paths = (tmp_path / "split.npz", tmp_path / "missing.npz")
    trials = load_trials(*paths, SETTINGS, n_test=30, n_valid=40, seed=5)
    assert list(trials) == ["random", "square"]
    for name, trial in trials.items():
        np.testing.assert_array_equal(trial.test.images, split["test_images"][:30])
        np.testing.assert_array_equal(trial.test.missing, missing[name][:30])
        np.testing.assert_array_equal(trial.valid.images, split["valid_images"][:40])
    assert (trials["square"].valid.missing.sum((1, 2)) == 9).all()
    assert 0.2 < trials["random"].valid.missing.mean() < 0.4
    with pytest.raises(InputError, match=r"51 valid images: .*split\.npz has 50; ask for at most"):
        load_trials(*paths, SETTINGS, n_test=50, n_valid=51, seed=5)


@pytest.fixture(params=["latent", "conditional"])
def imputer(request, tmp_path):
    shape = {"generator": gen(0), "latent": 2}
    if request.param == "latent":
        vae, method = VAE("t", df=5.0, pixels=64, hidden=[20, 9], **shape), "single_pass"
    else:
        vae = ConditionalVAE("t", df=5.0, shape=(8, 8), widths=[20, 9], **shape)
        method = "draws"
    path = tmp_path / "model.safetensors"
    save(path, vae)
    imputer = load_imputer(path, method=method, n_draws=39, generator=gen(), settings={})
    assert type(imputer.model) is type(vae)
    return imputer


def test_models_of_both_kinds_do_the_same(imputer, known):
    images, missing = known.tensors()
    inferred = imputer.infer(images, missing)
    assert inferred.mean.shape == (30, 8, 8)
    assert inferred.codes.shape == (39, 30, 2)
    assert imputer.explain(images, missing).shape == (1, 30, 2)
    expected = imputer.decode(inferred.codes[:3], images, missing)
    assert expected.shape == (3, 30, 8, 8)
    assert 0 <= expected.min() <= expected.max() <= 1
    _, arrays = try_imputer(
        imputer, type("T", (), {"test": known, "valid": known}), n_draws=39, seed=1
    )
    assert arrays["mean"].dtype == np.float16
    np.testing.assert_allclose(arrays["mean"], inferred.mean, atol=0.2)
    assert arrays["ink"].shape == (39, 30)
    assert arrays["uncertainty/crps"].shape == (30,)
    said = headline(known, arrays)
    squared = np.square(arrays["mean"].astype(float) - known.images / 255) * known.missing
    expected = np.mean(squared.sum((1, 2)) / known.missing.sum((1, 2)))
    assert said["mse"] == pytest.approx(expected, rel=1e-5)
    pixels = arrays["uncertainty/pixels"].sum()
    assert said["crps"] == pytest.approx(arrays["uncertainty/crps"].sum() / pixels)
    assert said["coverage_0.95"] == pytest.approx(arrays["uncertainty/pit_95"].sum() / pixels)
