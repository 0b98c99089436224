"""Names that came out of a file, made fit for a page: they may be anything."""

import unicodedata
from collections.abc import Sequence


def label(name: str, width: int = 40) -> str:
    """Show a name on one line, without what is invisible, its middle cut out if it is long."""
    # Long before anything looks at its characters: a name may be a whole book.
    ends = name if len(name) <= 4 * width else name[: 2 * width] + name[-2 * width :]
    plain = "".join("�" if unicodedata.category(c).startswith("C") else c for c in ends)
    text = " ".join(plain.split()) or "(no name)"
    if len(text) <= width:
        return text
    head = 2 * width // 3
    return f"{text[:head].rstrip()}…{text[len(text) - (width - head - 1) :].lstrip()}"


def listed(names: Sequence[str], most: int = 5, word: str = "and") -> str:
    """Name things in a sentence, the first few of them."""
    texts = [label(name) for name in names[:most]]
    if len(names) > most:
        texts.append(f"{len(names) - most:,} more")
    return f" {word} ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def percent(share: float) -> str:
    """Format a share; what is not quite nothing or all does not look like it."""
    sign = "\N{NO-BREAK SPACE}%"
    if 0 < share < 0.01:
        return f"less than 1{sign}"
    if 0.99 < share < 1:
        return f"more than 99{sign}"
    return f"{100 * share:.0f}{sign}"


def counted(n: int, noun: str) -> str:
    """Count things: 1 row, 2 rows."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
