"""What the site of the documentation needs beyond its generator: hooks of mkdocs and griffe.

Pages link to files all over the repository, as they must where that is hosted. mkdocs knows one
folder of pages; so the site gets the shape of the repository, and each link holds in both places.
Equations, also those of docstrings, become MathML, which browsers show without a script.
"""

import re
from html import unescape
from pathlib import Path

import griffe
from math_core import LatexToMathML
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parent.parent
#: What pymdownx.arithmatex makes of ``$…$`` and of a fence that is called math.
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
#: What docstrings write as Sphinx has it, and how Markdown has it.
MARKDOWN = [
    (re.compile(r"^( *)\.\. math::\s+((?:.+\n?)+)", re.MULTILINE), r"\1```math\n\1\2\1```\n"),
    (re.compile(r":math:`([^`]+)`"), r"$\1$"),
    (re.compile(r"^\.\. \[(\d+)\] ", re.MULTILINE), r"\1. "),
    (re.compile(r"\[(\d+)\]_"), r"[\1]"),
]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Name files by their place in the repository; those of the theme stay as they are."""
    theirs = [file for file in files if file.src_dir != config.docs_dir]
    paths = {path for pattern in config.extra["shown"] for path in ROOT.glob(pattern)}
    ours = [
        File(
            path.relative_to(ROOT).as_posix(),
            str(ROOT),
            config.site_dir,
            config.use_directory_urls,
            inclusion=InclusionLevel.INCLUDED,  # also where a name begins with a dot
        )
        for path in sorted(paths)
    ]
    return Files([*theirs, *ours])


def on_page_content(html: str, **_: object) -> str:
    """Turn the equations of a page into MathML."""
    return EQUATION.sub(_as_mathml, html)


def _as_mathml(match: re.Match[str]) -> str:
    tag, latex = match.groups()
    # One converter per equation: it counts nothing, and none is numbered.
    return LatexToMathML().convert_with_local_state(unescape(latex), displaystyle=tag == "div")


class Docstrings(griffe.Extension):
    """Equations and references of docstrings, as Markdown."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Change a docstring before it is parsed."""
        if obj.docstring:
            for pattern, replacement in MARKDOWN:
                obj.docstring.value = pattern.sub(replacement, obj.docstring.value)
