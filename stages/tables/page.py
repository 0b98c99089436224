"""Stage `page`: the benchmark's page and figure, from tracked results alone."""

from collections.abc import Sequence
from typing import Any

from stages.tables import HOME
from study.params import Params, parse_paths, read_params, run
from study.report.figures.style import to_png
from study.report.render import render
from study.tables.figures import ratios
from study.tables.page import TEMPLATES, comparisons, page
from study.tables.results import load
from vaefill.storage import write_bytes, write_text


class PageParams(Params):
    """What is shown; all of it is checked by the stages that use it."""

    conditions: list[str]
    contamination: dict[str, Any]
    n_draws: int
    rivals: list[str]
    seeds: list[int]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    args = parse_paths(argv, "--results", "--page", "--figures")
    params = read_params(PageParams, HOME)
    results = load(args.results, params.conditions)
    text = render("benchmark.md.j2", page(results, params.model_dump()), TEMPLATES)
    figure = ratios(comparisons(results), results.tables)
    write_bytes(args.figures / "ratios.png", to_png(figure))
    write_text(args.page, text)


if __name__ == "__main__":
    run(main)
