"""Stage `control`: models of tables whose truth is known, one kind of truth and codes."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
from tqdm import tqdm

from study.control.cases import CODES, COLUMNS, TRUTHS
from study.control.trial import run as run_trial
from study.params import Count, Params, Seeds, parse_paths, read_params, run
from vaefill.storage import save_table
from vaefill.training.devices import deterministic

Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Number = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Training(Params):
    """Section `control.training`."""

    epochs: Count
    batch_size: Count
    lr: Share
    warmup: Share
    clip: Number
    n_draws: Count


class Section(Params):
    """Section `control`; a t that has a variance has more than 2 degrees of freedom."""

    truths: Annotated[list[Literal["linear", "nonlinear"]], Field(min_length=1)]
    df: Annotated[float, Field(gt=2, allow_inf_nan=False)]
    rows: Annotated[int, Field(ge=100)]
    valid_rows: Count
    test_rows: Count
    columns: Annotated[int, Field(ge=2)]
    latent: Count
    noise: Number
    missing: list[Share]
    seeds: Seeds
    training: Training
    n_proposals: Count
    n_draws: Annotated[int, Field(ge=19)]


class ControlParams(Params):
    """What `control` reads."""

    control: Section
    threads: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Write the scores of every model and of the truth, seed by seed."""
    args = parse_paths(argv, "--out", truth=tuple(TRUTHS), codes=tuple(CODES))
    params = read_params(ControlParams)
    deterministic()
    settings = params.control.model_dump()
    del settings["truths"]
    seeds = tqdm(settings.pop("seeds"), desc=f"{args.truth}, {args.codes}", unit="seed")
    rows = [row for seed in seeds for row in run_trial(args.truth, args.codes, seed, **settings)]
    save_table(args.out, COLUMNS, rows)


if __name__ == "__main__":
    run(main)
