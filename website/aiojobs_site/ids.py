"""Each id of a requirement or of an assumption, wherever it stands in code type, leads to its text."""

import re
from pathlib import Path

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util.nodes import make_refnode

from aiojobs_verification.specification.requirements import read_assumptions, read_requirements

_SPEC = Path(__file__).parents[2] / "spec"
_PAGE_OF = {
    "docs/reference/requirements": read_requirements(_SPEC / "requirements.toml").by_id,
    "docs/assumptions": read_assumptions(_SPEC / "assumptions.toml"),
}
PLACES = {name: page for page, names in _PAGE_OF.items() for name in names}
"""The page that gives the text of each id."""
_ID = re.compile(rf"\b({'|'.join(sorted(map(re.escape, PLACES), key=len, reverse=True))})\b(?![-\w])")


class PlaceIds(SphinxTransform):
    """Give the entry of each id an anchor of the same name, in small letters."""

    default_priority = 210

    def apply(self):
        """On the pages that give the texts."""
        for literal in list(self.document.findall(nodes.literal)):
            if PLACES.get(literal.astext()) == self.env.docname and _begins_an_entry(literal):
                literal["is_entry"] = True
                literal.parent.parent["ids"].append(literal.astext().lower())
                self.env.metadata[self.env.docname].setdefault("ids", []).append(literal.astext())


def _begins_an_entry(literal):
    return isinstance(literal.parent.parent, nodes.list_item) and literal.parent.index(literal) == 0


def _link_ids(app, doctree, docname):
    for node in list(doctree.findall(nodes.literal)):
        if node.astext() in PLACES and not node.get("is_entry") and not _within_link(node):
            node.replace_self(_reference(app, docname, node.astext(), node.deepcopy()))
    for text in list(doctree.findall(nodes.Text)):
        if not _within_link(text) and not isinstance(
            text.parent, nodes.literal | nodes.literal_block | nodes.title
        ):
            _link_within(app, docname, text)


def _within_link(node):
    while node.parent is not None:
        node = node.parent
        if isinstance(node, nodes.reference | nodes.literal_block | nodes.title | nodes.raw | nodes.comment):
            return True
    return False


def _link_within(app, docname, text):
    parts = _ID.split(text.astext())
    if len(parts) == 1:
        return
    text.parent.replace(
        text,
        [
            _reference(app, docname, part, nodes.Text(part)) if number % 2 else nodes.Text(part)
            for number, part in enumerate(parts)
            if part
        ],
    )


def _reference(app, docname, name, content):
    page = PLACES[name]
    return make_refnode(
        app.builder, docname, page, name.lower(), content, app.builder.env.titles[page].astext()
    )


def _check_places(_app, env):
    for page, names in _PAGE_OF.items():
        lost = set(names) - set(env.metadata[page].get("ids", []))
        if lost:
            raise LookupError(f"{page} has no entry for {', '.join(sorted(lost))}")


def setup(app):
    """Connect to Sphinx."""
    app.add_transform(PlaceIds)
    app.connect("doctree-resolved", _link_ids)
    app.connect("env-check-consistency", _check_places)
