"""Stage `report`: tables, figures and words from the tracked results alone."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from vaefill import figures, galleries
from vaefill.pipeline import Params, parse_paths, positive, read_params, run
from vaefill.report import render
from vaefill.results import (
    MODELS,
    SCORE_COLUMNS,
    image_score,
    load_results,
    score_rows,
    summarise,
)
from vaefill.slides import SLIDES
from vaefill.storage import save_json, save_table, write_bytes, write_text
from vaefill.style import to_png


def distinct(seeds: list[int]) -> list[int]:
    """Check for a field: no seed twice, because the same run twice is not two runs."""
    if len(set(seeds)) < len(seeds):
        raise ValueError("must not hold a seed twice")
    return seeds


class Split(Params):
    """The `split` section."""

    seed: int
    test_size: int
    valid_size: int


class ReportParams(Params):
    """Params of the stage; some are only shown, and checked by the stages that use them."""

    dataset: str
    df: Annotated[float, AfterValidator(positive)]
    seeds: Annotated[
        list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(distinct)
    ]
    split: Split
    model: dict[str, Any]
    train: dict[str, Any]
    mask: dict[str, Any]
    evaluate: dict[str, Any]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    reports = parse_paths(argv, "--reports").reports
    params = read_params(ReportParams)
    results = load_results(reports, params.seeds)
    summary = summarise(results)
    # Columns of the examples: image, reconstruction, then missing and prediction per mechanism.
    image, _, random, _, square, _ = results.examples["gauss"].swapaxes(0, 1)
    reconstructed, random_filled, square_filled = (
        {model: results.examples[model][:, column] for model in MODELS} for column in (1, 3, 5)
    )
    values = {cell: results.paired(image_score(*cell)) for cell in SLIDES}
    drawn = {
        "comparison": figures.comparison(values, SLIDES if params.dataset == "mnist" else None),
        "density": figures.density(params.df),
        "training": figures.training(results.histories_by_model()),
        "reconstructions": galleries.reconstructions(image, reconstructed),
        "samples": galleries.samples(results.samples, params.df),
        "missing_random": galleries.missing_pixels(image, random, random_filled),
        "missing_square": galleries.missing_pixels(image, square, square_filled),
    }
    for name, figure in drawn.items():
        write_bytes(reports / "figures" / f"{name}.png", to_png(figure))
    save_table(reports / "scores.csv", SCORE_COLUMNS, score_rows(results))
    save_json(reports / "summary.json", summary)
    write_text(reports / "report.md", render(results, summary, params.model_dump()))


if __name__ == "__main__":
    run(main)
