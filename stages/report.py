"""Stage `report`: tables, figures and words from the tracked results alone."""

from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any

import pandas as pd
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from study.params import Params, Seeds, distinct, parse_paths, read_params, run
from study.report.control import load as load_control
from study.report.control import section
from study.report.experiments import read_sweep
from study.report.factors import changes, read_factors
from study.report.figures import control as control_figure
from study.report.figures import curves, galleries
from study.report.figures.comparison import comparison
from study.report.figures.factors import factors as factors_figure
from study.report.figures.style import to_png
from study.report.imputers import load, score_rows
from study.report.pages import report
from study.report.pages.imputation import imputers
from study.report.pages.sweep import findings
from study.report.render import render
from study.report.runs import (
    SCORE_COLUMNS,
    load_histories,
    load_images,
    load_metrics,
    load_pictures,
)
from study.trials.comparison import MODELS
from study.trials.sweep import TrainingParams, load_plan
from vaefill.storage import save_json, save_table, write_bytes, write_text


class Split(Params):
    """The `split` section."""

    seed: int
    test_size: int
    valid_size: int


class ReportParams(TrainingParams):
    """Params of the stage; some are only shown, and checked by the stages that use them."""

    seeds: Seeds
    split: Split
    model: dict[str, Any]
    recipes: Annotated[list[str], Field(min_length=1), AfterValidator(distinct)]
    mask: dict[str, Any]
    evaluate: dict[str, Any]
    infer: dict[str, Any]
    masked: dict[str, Any]
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


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    args = parse_paths(argv, "--reports", "--sweep", "--plan", "--factors")
    reports = args.reports
    params = read_params(ReportParams)
    recipes = [params.infer["recipe"], *params.masked["networks"]]
    tried = load(reports, recipes, dataset=params.dataset)
    metrics = load_metrics(reports, params.recipes, params.seeds)
    histories = load_histories(reports, product(params.recipes, MODELS, params.seeds))
    others = load_histories(reports, tried.runs)
    images = load_images(reports / "images.csv", params.recipes, params.seeds)
    pictures = load_pictures(reports, params.recipes[-1], params.seeds[0])
    plan = load_plan(args.plan, params)
    control = load_control(reports / "control.csv")
    sweep = read_sweep(args.sweep, plan, dataset=params.dataset, seeds=params.seeds)
    factors = read_factors(reports / "factors.csv", args.factors, params)
    page = report.page(
        metrics,
        pd.concat([histories, others]),
        images,
        params.model_dump(),
        findings=findings(sweep, slides=params.dataset == "mnist"),
        imputers=imputers(tried),
        control=section(control),
        factors=factors,
    )
    drawn = {
        "comparison": comparison(metrics.scores, page["cited"] if page["held"] else None),
        "control": control_figure.gains(control),
        "tails": curves.tails(metrics.latent, params.df),
        "density": curves.density(params.df),
        "training": curves.training(histories),
        "samples": galleries.samples(pictures["samples"], params.df),
        **galleries.examples(pictures["examples"]),
    }
    if page["gap"]:
        drawn["factors"] = factors_figure(changes(factors, metrics.scores))
    for name, figure in drawn.items():
        write_bytes(reports / "figures" / f"{name}.png", to_png(figure))
    rows = report.score_rows(metrics.scores, score_rows(reports, recipes))
    save_table(reports / "scores.csv", SCORE_COLUMNS, rows)
    save_json(reports / "summary.json", report.summary(metrics.scores))
    write_text(reports / "report.md", render("report.md.j2", page))


if __name__ == "__main__":
    run(main)
