from hypothesis import given
from hypothesis import strategies as st

from vaefill.report.labels import label, listed, percent


@given(st.text(), st.integers(10, 60))
def test_label_is_one_short_visible_line(name, width):
    text = label(name, width)
    assert 1 <= len(text) <= max(width, len("(no name)"))
    assert text.isprintable() or text == "�"
    assert len(text.splitlines()) == 1


def test_label_keeps_both_ends_of_a_long_name():
    text = label("a" * 10_000 + "z", 20)
    assert text == "a" * 13 + "…" + "a" * 5 + "z"
    assert label("sum of\x00 it\n all") == "sum of� it� all"


def test_listed():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"], word="or") == "a, b or c"
    assert listed(["a", "b", "c", "d"], most=2) == "a, b and 2 more"


def test_percent_never_says_nothing_or_all_of_what_is_not():
    texts = [percent(x).replace("\N{NO-BREAK SPACE}", " ") for x in (0, 0.003, 0.25, 0.999, 1)]
    assert texts == ["0 %", "less than 1 %", "25 %", "more than 99 %", "100 %"]
