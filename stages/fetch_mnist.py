"""Stage `fetch_mnist`: get the images from the first source that has them."""

from collections.abc import Sequence
from typing import Literal

from study.data.datasets import DATASETS
from study.params import Params, parse_paths, read_params, run
from vaefill.storage import save_arrays


class FetchParams(Params):
    """Params of the stage."""

    dataset: Literal["mnist", "digits", "fashion_mnist", "kmnist"]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    args = parse_paths(argv, "--out")
    params = read_params(FetchParams)
    images, labels = DATASETS[params.dataset]()
    save_arrays(args.out, {"images": images, "labels": labels})


if __name__ == "__main__":
    run(main)
