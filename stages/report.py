"""Stage `report`: tables, figures and words from the tracked results alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from study.params import Params, parse_paths, read_params, run
from study.report import imputation_results
from study.report.figures import curves as figures
from study.report.figures import galleries
from study.report.figures.comparison import comparison
from study.report.figures.style import MODELS, to_png
from study.report.images import load_images
from study.report.imputation_page import section
from study.report.report import render
from study.report.results import SLIDES_RECIPE, image_score, load_results
from study.report.summary import SCORE_COLUMNS, score_rows, summarise
from study.report.sweep_page import findings
from study.slides import SLIDES
from study.trials.sweep import SweepParams, load_plan, load_sweep
from vaefill.storage import save_json, save_table, write_bytes, write_text


def distinct(values: list[Any]) -> list[Any]:
    """Check for a field: nothing twice, because the same run twice is not two runs."""
    if len(set(values)) < len(values):
        raise ValueError("must not hold a value twice")
    return values


class Split(Params):
    """The `split` section."""

    seed: int
    test_size: int
    valid_size: int


class ReportParams(SweepParams):
    """Params of the stage; some are only shown, and checked by the stages that use them."""

    seeds: Annotated[
        list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(distinct)
    ]
    split: Split
    model: dict[str, Any]
    train: dict[str, dict[str, Any]]
    recipes: Annotated[list[str], Field(min_length=1), AfterValidator(distinct)]
    mask: dict[str, Any]
    evaluate: dict[str, Any]
    compare: dict[str, Any]

    @field_validator("recipes")
    @classmethod
    def sections_of_train(cls, recipes: list[str], info: ValidationInfo) -> list[str]:
        """Check that every recipe is one that `train` describes."""
        known = info.data.get("train", recipes)
        for recipe in recipes:
            if recipe not in known:
                raise ValueError(f"{recipe!r} is no section of train; it has {', '.join(known)}")
        return recipes


def sweep_findings(results: Path, plan: Path, params: SweepParams) -> list[str]:
    """Say what the sweep shows on this dataset and with these seeds; nothing where none was run."""
    sweep = load_sweep(results, load_plan(plan, params), dataset=params.dataset, seeds=params.seeds)
    return findings(sweep, slides=params.dataset == "mnist") if sweep.runs else []


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    args = parse_paths(argv, "--reports", "--sweep", "--plan")
    reports = args.reports
    params = read_params(ReportParams)
    results = load_results(reports, params.recipes, params.seeds)
    images = load_images(reports / "images.json", params.recipes, params.seeds)
    shown = results[params.recipes[-1]]
    # Columns of the examples: image, reconstruction, then missing and prediction per mechanism.
    image, _, random, _, square, _ = shown.examples["gauss"].swapaxes(0, 1)
    reconstructed, random_filled, square_filled = (
        {model: shown.examples[model][:, column] for model in MODELS} for column in (1, 3, 5)
    )
    values = {
        recipe: {cell: runs.paired(image_score(*cell)) for cell in SLIDES}
        for recipe, runs in results.items()
    }
    slides = params.dataset == "mnist" and SLIDES_RECIPE in results
    histories = {recipe: runs.by_model(runs.histories) for recipe, runs in results.items()}
    quantiles = {
        recipe: {
            model: [latent.quantiles for latent in latents]
            for model, latents in runs.by_model(runs.latents).items()
        }
        for recipe, runs in results.items()
    }
    drawn = {
        "comparison": comparison(values, {SLIDES_RECIPE: SLIDES} if slides else {}),
        "tails": figures.tails(quantiles, params.df),
        "density": figures.density(params.df),
        "training": figures.training(histories),
        "reconstructions": galleries.reconstructions(image, reconstructed),
        "samples": galleries.samples(shown.samples, params.df),
        "missing_random": galleries.missing_pixels(image, random, random_filled),
        "missing_square": galleries.missing_pixels(image, square, square_filled),
    }
    sentences = sweep_findings(args.sweep, args.plan, params)
    imputers = section(
        imputation_results.load(reports, dataset=params.dataset), targets=params.dataset == "mnist"
    )
    text = render(results, images, params.model_dump(), sentences, imputers)
    # A single pass with the slides' models has been scored already.
    rows = {row[:-1]: row for row in imputation_results.score_rows(reports)}
    rows |= {row[:-1]: row for row in score_rows(results)}
    for name, figure in drawn.items():
        write_bytes(reports / "figures" / f"{name}.png", to_png(figure))
    save_table(reports / "scores.csv", SCORE_COLUMNS, sorted(rows.values()))
    save_json(
        reports / "summary.json", {recipe: summarise(runs) for recipe, runs in results.items()}
    )
    write_text(reports / "report.md", text)


if __name__ == "__main__":
    run(main)
