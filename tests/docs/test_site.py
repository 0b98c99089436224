"""The site of the pages: whole, nothing of it from elsewhere, and links that lead somewhere."""

import os
import re
import subprocess
import sys
from collections import defaultdict
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag

import pytest
from conftest import ROOT

#: Where an address is fetched without being clicked.
FETCHED = {"src", "srcset", "poster", "data"}


class Addresses(HTMLParser):
    """What a page fetches, what it links to, and what can be linked to in it."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.links, self.anchors = set(), set(), {""}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors.add(attrs.get("id"))
        self.fetched |= {value for name, value in attrs.items() if name in FETCHED and value}
        if "href" in attrs:
            (self.links if tag == "a" else self.fetched).add(attrs["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    target = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", target],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return target


@pytest.fixture(scope="module")
def pages(site):
    return {path: Addresses(path.read_text("utf-8")) for path in site.rglob("*.html")}


def test_nothing_is_fetched_from_elsewhere(site, pages):
    fetched = set().union(*(page.fetched for page in pages.values()))
    for path in site.rglob("*.css"):
        fetched |= set(
            re.findall(r"url\([\"']?(?!data:)([^)\"']+)|@import", path.read_text("utf-8"))
        )
    assert any(address.endswith(".js") for address in fetched)
    assert not [address for address in fetched if re.match(r"(\w+:)?//", address)]
    # The theme would fetch a script to draw these.
    assert not [path for path in pages if 'class="mermaid"' in path.read_text("utf-8")]


def test_links_lead_somewhere(site, pages):
    dead = defaultdict(list)
    for path, page in pages.items():
        for link in page.links | page.fetched:
            address, anchor = urldefrag(unquote(link))
            if ":" in address or path.name == "404.html":
                continue
            target = (path.parent / address if address else path).resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or anchor not in pages.get(target, page).anchors:
                dead[path.relative_to(site).as_posix()].append(link)
    assert not dead


def test_docstrings_and_equations_are_shown(site):
    reference = (site / "docs/reference/imputer/index.html").read_text("utf-8")
    assert 'id="vaefill.imputer.VAEImputer.fit"' in reference
    assert "Degrees of freedom of the t prior." in reference
    texts = [path.read_text("utf-8") for path in site.rglob("*.html")]
    assert sum(text.count("<math") for text in texts) > 300
    assert not [text for text in texts if "arithmatex" in text or ":math:" in text]
