"""Stage `mask`: choose the missing pixels of every test image, per mechanism."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from study.params import Params, parse_paths, read_params, run
from vaefill.missingness.mechanisms import draw
from vaefill.storage import load_arrays, save_arrays


class Random(Params):
    """Keywords of `missingness.random`."""

    fraction: float = Field(gt=0, lt=1, allow_inf_nan=False)


class Square(Params):
    """Keywords of `missingness.square`."""

    size: int = Field(ge=1)


class Section(Params):
    """The `mask` section."""

    seed: int = Field(ge=0)
    random: Random
    square: Square


class MaskParams(Params):
    """Params of the stage."""

    mask: Section


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    args = parse_paths(argv, "--split", "--out")
    section = read_params(MaskParams).mask
    images = load_arrays(args.split)["test_images"].astype(np.float32) / 255
    missing = draw(images, seed=section.seed, settings=section.model_dump(exclude={"seed"}))
    save_arrays(args.out, missing)


if __name__ == "__main__":
    run(main)
