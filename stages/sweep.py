"""Stage `sweep`: the page and figures of the sweep, from its tracked results alone."""

from collections.abc import Sequence

from study.params import parse_paths, read_params, run
from study.report.experiments import read_sweep
from study.report.figures.style import to_png
from study.report.figures.sweep import draw
from study.report.pages.sweep import page
from study.report.render import render
from study.trials.sweep import SweepParams, load_plan
from vaefill.storage import write_bytes, write_text


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    args = parse_paths(argv, "--sweep", "--plan", "--page", "--figures")
    params = read_params(SweepParams)
    plan = load_plan(args.plan, params)
    sweep = read_sweep(args.sweep, plan, dataset=params.dataset, seeds=params.seeds)
    slides = params.dataset == "mnist"
    figures = draw(sweep, slides=slides)
    # Without results there is no figure, but DVC wants the directory.
    args.figures.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        write_bytes(args.figures / f"{name}.png", to_png(figure))
    write_text(args.page, render("sweep.md.j2", page(sweep, figures, slides=slides)))


if __name__ == "__main__":
    run(main)
