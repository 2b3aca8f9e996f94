"""The documentation site is built without a warning, and leads where it should.

The fixture builds it once, into build/site, as `make docs` does.
"""

import importlib
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from sphinx.util.inventory import InventoryFile

from aiojobs_verification.specification.requirements import read_requirements

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
PUBLIC = sorted(path.stem for path in (ROOT / "src/aiojobs").glob("[!_]*") if path.suffix in {"", ".py"})
MODULES = [importlib.import_module(name) for name in ("aiojobs", *(f"aiojobs.{name}" for name in PUBLIC))]
IDS = list(read_requirements(ROOT / "spec/requirements.toml").by_id)
REQUIREMENTS = "docs/reference/requirements.html"


class Page(HTMLParser):
    """Where a page leads, and where one can be led to on it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors, self.elements = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.elements.append(tag)
        self.anchors |= {known["id"]} if "id" in known else set()
        self.links += [known[name] for name in ("href", "src") if known.get(name)]


@pytest.fixture(scope="session")
def built():
    shutil.rmtree(SITE, ignore_errors=True)
    done = subprocess.run(
        ["sh", ".ci/docs"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "build/site/index.html\n", "")
    return SITE


@pytest.fixture(scope="session")
def pages(built):
    return {
        path.relative_to(built).as_posix(): Page(path.read_text(encoding="utf-8"))
        for path in sorted(built.rglob("*.html"))
    }


def lost(pages, site):
    """Links and anchors of built pages that are not there."""
    for name, page in pages.items():
        for link in page.links:
            target, anchor = urldefrag(link)
            if re.match(r"[a-z]+:|//", link):
                continue
            file = unquote(target.partition("?")[0])
            place = (site / name).parent / file if file else site / name
            found = place.resolve()
            other = pages.get(found.relative_to(site.resolve()).as_posix())
            if not found.is_file() or (anchor and other is not None and anchor not in other.anchors):
                yield f"{name}: {link}"


def test_every_link_and_anchor_of_the_built_site_is_there(built, pages):
    assert len(pages) > 100
    assert list(lost(pages, built)) == []


def test_a_lost_link_and_a_lost_anchor_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html"></a><a href="#c"></a><a id="d" href="#d"></a>')
    pages = {"a.html": Page((tmp_path / "a.html").read_text())}
    assert list(lost(pages, tmp_path)) == ["a.html: b.html", "a.html: #c"]


def test_every_page_of_the_documentation_is_in_the_menu(built, pages):
    documents = [path.relative_to(ROOT) for path in sorted((ROOT / "docs").rglob("*.md"))]
    menu = {(SITE / "docs" / urldefrag(link)[0]).resolve() for link in pages["docs/index.html"].links}
    wanted = [
        page.with_suffix(".html") for page in [Path("README.md"), *documents] if page.name != "index.md"
    ]
    assert [page for page in wanted if SITE / page not in menu] == []


def test_every_public_name_is_in_the_inventory_that_other_projects_link_by(built):
    inventory = InventoryFile.loads((built / "objects.inv").read_bytes(), uri="")
    known = {name for kind in inventory.data.values() for name in kind}
    wanted = [f"{module.__name__}.{name}" for module in MODULES for name in module.__all__]
    assert len(wanted) > 80
    assert [name for name in wanted if name not in known and not is_alias_of(name, known)] == []


def is_alias_of(name, known):
    """A name that is given on by a module leads to the page of the one that defines it."""
    module, _, last = name.rpartition(".")
    thing = getattr(sys.modules[module], last)
    return f"{getattr(thing, '__module__', '')}.{last}" in known


@pytest.mark.parametrize("name", IDS)
def test_an_id_leads_to_its_requirement(pages, name):
    assert name.lower() in pages[REQUIREMENTS].anchors
    assert f"{REQUIREMENTS}#{name.lower()}" in pages["README.html"].links


def test_a_class_leads_to_the_pages_whose_examples_use_it(pages):
    links = pages["docs/reference/python/aiojobs.html"].links
    assert {"../../tutorial.html", "../../howto/shut-down-on-signals.html"} <= set(links)
    assert (
        "../../howto/trace-with-opentelemetry.html"
        in pages["docs/reference/python/aiojobs.opentelemetry.html"].links
    )


def test_docstrings_link_their_ids_and_each_other(pages):
    links = pages["docs/reference/python/aiojobs.html"].links
    assert {"../requirements.html#limit-7", "#aiojobs.Record", "#aiojobs.Snapshot"} <= set(links)


def test_pictures_are_drawn_into_the_page_and_need_nobodys_server(built, pages):
    architecture = (built / "docs/explanation/architecture.html").read_text(encoding="utf-8")
    assert architecture.count('<div class="picture"><svg') == (
        (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8").count("```mermaid")
    )
    outside = {link for page in pages.values() for link in page.links if re.match(r"(https?:)?//", link)}
    loaded = [link for link in outside if link.endswith((".js", ".css", ".woff2"))]
    assert loaded == []


def test_pictures_follow_the_scheme_that_the_reader_has_chosen_here(built):
    style = (built / "_static/site.css").read_text(encoding="utf-8")
    assert [
        f'body[data-theme="{theme}"] img {{ color-scheme: {theme}; }}' in style for theme in ("dark", "light")
    ] == [
        True,
        True,
    ]


def test_a_search_finds_a_word_of_a_docstring_and_one_of_a_page(built):
    index = (built / "searchindex.js").read_text(encoding="utf-8")
    assert "backpressur" in index
    assert "docs/reference/python/aiojobs" in index


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("[there](gone.md)", "cross-reference target not found: 'gone.md'"),
        ("[there](#gone)", "cross-reference target not found: 'gone'"),
        ("```{nothing}\n```", "Unknown directive"),
    ],
)
def test_a_mistake_on_a_page_fails_the_build(tmp_path, page, complaint):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text(f"# Planted\n\n{page}\n")
    settings = ["-D", "extensions=myst_parser", "-D", "include_patterns=docs/**"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-q", "-c", str(ROOT / "website"), *settings,
         str(tmp_path), str(tmp_path / "out")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert complaint in done.stderr
