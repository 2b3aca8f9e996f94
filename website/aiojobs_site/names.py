"""Names in docstrings: one in single backticks leads to what it names, if that is public."""

import re
from importlib import import_module
from importlib.util import find_spec

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxRole
from sphinx.util.nodes import make_refnode

from aiojobs._job_state import FOR_THE_OWNER

_PRIVATE = re.compile(r"^(aiojobs\.)?(_\w+\.)?")


class Named(SphinxRole):
    """The role of what stands in single backticks: a public name becomes a link, an argument does not."""

    def run(self):
        """A reference, which may stay without a target if it begins in a small letter."""
        literal = nodes.literal(self.text, self.text, classes=["xref", "py"])
        if not re.fullmatch(r"[\w.]+", self.text):
            return [literal], []
        reference = addnodes.pending_xref(
            "", literal, refdomain="py", reftype="obj", reftarget=self.text, refexplicit=False,
            refwarn=self.text[0].isupper(), refdoc=self.env.docname,
        )  # fmt: skip
        reference["py:module"] = self.env.ref_context.get("py:module")
        reference["py:class"] = self.env.ref_context.get("py:class")
        return [reference], []


def _find_public(app, env, node, content):
    """What a private module defines is public under a name of the package's; docstrings leave the package out."""
    if node.get("refdomain") != "py":
        return None
    name = f"aiojobs.{_PRIVATE.sub('', node['reftarget'])}"
    if name not in env.domains.python_domain.objects:
        return content if _is_of_others(node["reftarget"]) else None
    place = env.domains.python_domain.objects[name]
    return make_refnode(app.builder, node["refdoc"], place.docname, place.node_id, content, name)


def _is_of_others(name):
    """Whether Python or another package has it: such a name has no page here, and is no mistake."""
    place, _, last = name.rpartition(".")
    if place.startswith("aiojobs"):
        return False
    places = [place] if place else ["builtins", "asyncio"]
    return any(find_spec(one.partition(".")[0]) and hasattr(import_module(one), last) for one in places)


def _is_for_the_owner(_app, _what, name, _object, _skip, _options):
    return True if name in FOR_THE_OWNER else None


def setup(app):
    """Connect to Sphinx."""
    app.add_role("named", Named())
    app.connect("missing-reference", _find_public)
    app.connect("autodoc-skip-member", _is_for_the_owner)
