"""Stage `split`: divide the images into train, valid and test."""

from collections.abc import Sequence

from pydantic import Field

from study.data.splitting import split
from study.params import Params, parse_paths, read_params, run
from vaefill.storage import load_arrays, save_arrays


class Section(Params):
    """The `split` section."""

    seed: int = Field(ge=0, lt=2**32)
    test_size: int = Field(ge=1)
    valid_size: int = Field(ge=1)


class SplitParams(Params):
    """Params of the stage."""

    split: Section


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    args = parse_paths(argv, "--raw", "--out")
    section = read_params(SplitParams).split
    raw = load_arrays(args.raw)
    save_arrays(args.out, split(raw["images"], raw["labels"], **section.model_dump()))


if __name__ == "__main__":
    run(main)
