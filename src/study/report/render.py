"""Pages: Jinja2 templates that read as prose, fed by one dict each."""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from study.report import formats, verdicts

_TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, page: dict[str, Any], folder: Path = _TEMPLATES) -> str:
    """Render a template of a folder with what `page` holds; a name that it lacks is an error.

    The macros of this folder's templates are found from any other. Filters are the functions of
    `study.report.formats`; the four verdicts stand under their names of `study.report.verdicts`.
    """
    environment = Environment(
        loader=FileSystemLoader([folder, _TEMPLATES]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for name in (
        "number", "signed", "percent", "plus_minus", "difference", "relative", "chance", "times",
        "share", "seeds", "table",
    ):  # fmt: skip
        environment.filters[name] = getattr(formats, name)
    for name in ("BETTER", "WORSE", "SAME", "UNKNOWN"):
        environment.globals[name] = getattr(verdicts, name)
    text = environment.get_template(template).render(page)
    # Branches that are not taken leave blank lines behind.
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
