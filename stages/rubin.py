"""Stage `rubin`: an estimate from several imputations, pooled by Rubin's rules."""

from collections.abc import Sequence

from study.params import Count, NetworkSeeds, Params, parse_paths, read_params, run
from study.trials.assessment import ink_rows
from vaefill import storage
from vaefill.errors import InputError

COLUMNS = ("digit", "source", "estimate", "low", "high", "fmi")
MISSING = "square"


class AssessSection(Params, extra="ignore"):
    """What is read of section `assess`."""

    pooled: str


class MaskedSection(Params, extra="ignore"):
    """What is read of section `masked`."""

    networks: list[str]
    seeds: NetworkSeeds


class RubinParams(Params):
    """What `rubin` reads."""

    assess: AssessSection
    masked: MaskedSection
    threads: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Estimate the mean ink of each digit, by the Gaussian model of the first seed."""
    args = parse_paths(argv, "--split", "--missing", "--inferred", "--out")
    params = read_params(RubinParams)
    pooled, masked = params.assess.pooled, params.masked
    if pooled not in masked.networks:
        raise InputError(
            f"params.yaml: assess.pooled = {pooled!r}: must be one of masked.networks, "
            f"{', '.join(masked.networks)}"
        )
    split = storage.load_arrays(args.split)
    found = storage.load_arrays(args.inferred / f"gauss-{masked.seeds[pooled][0]}-draws.npz")
    ink, mean = found[f"{MISSING}/ink"], found[f"{MISSING}/mean"]
    some = slice(len(mean))
    rows = ink_rows(
        split["test_images"][some], storage.load_arrays(args.missing)[MISSING][some],
        mean, ink, split["test_labels"][some],
    )  # fmt: skip
    storage.save_table(args.out, COLUMNS, rows)


if __name__ == "__main__":
    run(main)
