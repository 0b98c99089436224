"""Stage `imputation`: the page and figures of the imputers, from tracked results alone."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from study.params import Params, parse_paths, read_params, run
from study.report import budgets
from study.report.figures import budgets as budget_figures
from study.report.figures.imputation import planned
from study.report.figures.style import to_png
from study.report.imputers import load
from study.report.pages.imputation import page
from study.report.render import render
from study.report.runs import load_histories
from vaefill.storage import write_bytes, write_text


class ImputationParams(Params):
    """What is shown; all of it is checked by the stages that use it."""

    dataset: str
    mask: dict[str, Any]
    split: dict[str, Any]
    infer: dict[str, Any]
    masked: dict[str, Any]
    degrade: dict[str, Any]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    args = parse_paths(argv, "--reports")
    params = read_params(ImputationParams)
    networks, trained = params.masked["networks"], params.masked["budgets"]
    recipes = [params.infer["recipe"], *networks]
    tried = load(args.reports, recipes, dataset=params.dataset)
    histories = load_histories(args.reports, tried.runs)
    work = budgets.load(args.reports, product([*trained["epochs"], *networks], trained["seeds"]))
    text = render("imputation.md.j2", page(tried, histories, params.model_dump(), work))
    for name, figure in (planned(tried) | budget_figures.planned(work)).items():
        write_bytes(args.reports / "imputation" / "figures" / f"{name}.png", to_png(figure()))
    write_text(args.reports / "imputation.md", text)


if __name__ == "__main__":
    run(main)
