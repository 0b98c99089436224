"""Stage `times`: the page and figure of the time that the pipeline takes, from its table alone."""

from collections.abc import Sequence

from study.params import Params, parse_paths, read_params, run
from study.report.figures.style import to_png
from study.report.figures.times import bars
from study.report.pages.times import by_stage, load, page
from study.report.render import render
from vaefill.storage import write_bytes, write_text


class TimesParams(Params):
    """What is named."""

    dataset: str


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    args = parse_paths(argv, "--times", "--page", "--figures")
    params = read_params(TimesParams)
    times = load(args.times)
    write_bytes(args.figures / "stages.png", to_png(bars(by_stage(times))))
    write_text(args.page, render("times.md.j2", page(times, params.dataset)))


if __name__ == "__main__":
    run(main)
