"""Anchors that a page sets by hand, ``<a id="…">``, are places that links are checked against."""

import re

from docutils import nodes
from sphinx.transforms import SphinxTransform

_ANCHOR = re.compile(r'<a id="([^"]+)">')


class KnowAnchors(SphinxTransform):
    """Tell MyST of them, before it resolves links."""

    default_priority = 800

    def apply(self):
        """Beside the slugs of the headings."""
        slugs = self.env.metadata[self.env.docname].setdefault("myst_slugs", {})
        for raw in self.document.findall(nodes.raw):
            for anchor in _ANCHOR.findall(raw.astext()):
                slugs[anchor] = (raw.line or 0, anchor, anchor)


def setup(app):
    """Connect to Sphinx."""
    app.add_transform(KnowAnchors)
