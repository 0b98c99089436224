import json
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from report_tables import QUICK, mixed

from vaefill.errors import InputError
from vaefill.report import trial
from vaefill.report.demo import demo_table
from vaefill.report.page import page, render, write_report
from vaefill.report.trial import assess

HOSTILE = {
    "<script>alert(1)</script>": 0,
    "../../x": 1,
    "a" * 10_000: 2,
    "$\\frac{1$": 3,
    "日本語": 4,
    "\u202eevil\x00\n": 5,
    "": 6,
    "=cmd|' /C calc'!A0": 7,
    "{{ 7 * 7 }}": 8,
    "\" onerror='alert(1)'": 9,
}


def hostile():
    rng = np.random.default_rng(0)
    z = rng.normal(size=120)
    columns = {
        name: pa.array(z + k + rng.normal(size=120), mask=rng.random(120) < 0.2)
        for name, k in HOSTILE.items()
    }
    columns["tag"] = pa.array(np.array(["<b>", "&amp;", "</script>"])[rng.integers(3, size=120)])
    columns |= {f"more {k}": pa.array(np.zeros(120)) for k in range(500)}
    return pa.table(columns)


class Elements(HTMLParser):
    """Collects tags with attributes, and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def hostile_page():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "N_COLUMNS", 20)
        return render(page(assess(hostile(), **QUICK), name="<img src=x onerror=alert(2)>"))


def test_names_out_of_the_table_are_nothing_but_text(hostile_page):
    elements = Elements(hostile_page)
    allowed = {
        "src": lambda value: value.startswith("data:image/svg+xml;base64,"),
        "alt": lambda value: value,
    }
    for tag, attributes in elements.tags:
        assert tag not in ("script", "iframe", "object", "link", "b", "a")
        if tag == "img":
            assert all(allowed[name](value) for name, value in attributes.items())
    assert "<script>alert(1)</script>" in elements.text
    assert "{{ 7 * 7 }}" in elements.text
    assert "49" not in elements.text.split("{{ 7 * 7 }}")[1][:20]


def test_page_stays_small_and_says_what_it_leaves_out(hostile_page):
    assert len(hostile_page) < 500_000
    assert "511 columns" in hostile_page
    assert "491 columns with fewer gaps were left out" in hostile_page
    assert "4 more columns" in hostile_page
    assert "a" * 100 not in Elements(hostile_page).text


def test_same_table_same_bytes(tmp_path):
    for name in ("a.html", "b.html"):
        write_report(mixed(80), tmp_path / name, name="t", kept=["id"], n_rows=9_999, **QUICK)
    text = (tmp_path / "a.html").read_text("utf-8")
    assert text == (tmp_path / "b.html").read_text("utf-8")
    assert "Left out as asked for: id." in text
    assert "Of 9,999 rows, 80 were looked at" in text


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"a": [1.0, None, 3.0]}),
        pa.table({"a": [1.0], "b": ["x"]}),
        pa.table({"a": [None, 2.0] * 40, "b": [True, None] * 40}),
        pa.table({"a": np.arange(60.0), "b": pa.array(["u", "v"] * 30)}),
    ],
    ids=["one column", "one row", "never both", "complete"],
)
def test_poor_tables_give_a_page_too(table):
    text = render(page(assess(table, **QUICK), name="poor"))
    assert "Leave the gaps as they are" in text or "Nothing is missing" in text


def test_nothing_is_written_where_there_is_nothing_to_learn_from(tmp_path):
    with pytest.raises(InputError, match="nothing is observed"):
        write_report(pa.table({"a": pa.nulls(9)}), tmp_path / "p.html", name="p")
    assert not list(tmp_path.iterdir())


def test_demo_has_both_sorts_of_gaps():
    table = demo_table()
    assert table.equals(demo_table())
    assert table.shape == (442, 11)
    missing = {name: table[name].null_count / 442 for name in table.column_names}
    assert sum(share > 0 for share in missing.values()) == 6
    assert all(0.05 < share < 0.35 for share in missing.values() if share)
    bmi, unmeasured = table["body mass index"].to_numpy(), table["LDL cholesterol"].is_null()
    lean = bmi[unmeasured.to_numpy()]
    assert lean.mean() < bmi.mean() - 2


CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--allow-file-access-from-files",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("table", [demo_table, hostile])
def test_page_in_a_browser(table, tmp_path):
    path = tmp_path / "page.html"
    write_report(table(), path, name="a table", **QUICK)
    # The page allows no script, so a second one looks at it from outside.
    measured = tmp_path / "frame.html"
    measured.write_text(
        f"""<iframe src="{path.name}" width="390" height="900"></iframe><script>
        onload = () => {{
          const page = document.querySelector("iframe").contentDocument;
          const images = [...page.images];
          document.title = JSON.stringify([page.body.innerText.includes("What to do"),
            images.length, images.filter((i) => i.complete && i.naturalWidth > 100).length,
            page.documentElement.scrollWidth]);
        }}</script>"""
    )
    command = [CHROMIUM, *FLAGS, "--dump-dom"]
    found = subprocess.run(
        [*command, f"--user-data-dir={tmp_path / 'profile'}", measured.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert "CONSOLE" not in found.stderr
    title = found.stdout.split("<title>")[1].split("</title>")[0]
    there, n_images, n_drawn, width = json.loads(title)
    assert there
    assert n_images == n_drawn >= 10
    assert width <= 390
