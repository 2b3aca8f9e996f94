"""A link from a page to a file of the repository leads to a page that shows the file; to a folder, to a list of it."""

import html
import posixpath
import subprocess
from pathlib import Path

from docutils import nodes
from pygments.lexers import guess_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes

_SHOWN = "files/"
_ROOT = Path(__file__).parents[2]
_TRACKED = set(
    subprocess.run(["git", "ls-files"], cwd=_ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
)


def _find_links(app, doctree):
    """Before Sphinx copies what is to be downloaded."""
    wanted = app.env.shown_files = getattr(app.env, "shown_files", {})
    here = app.env.docname
    for node in list(doctree.findall(addnodes.download_reference)):
        _show(node, wanted, here)
    for node in list(doctree.findall(addnodes.pending_xref)):
        if node.get("reftype") == "myst" and node.get("refdomain") is None:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(here), node["reftarget"]))
            if (_ROOT / target).is_dir():
                _show(node, wanted, here)


def _show(node, wanted, here):
    target = posixpath.normpath(posixpath.join(posixpath.dirname(here), node["reftarget"].partition("#")[0]))
    wanted.setdefault(here, set()).add(target)
    shown = nodes.reference("", "", *node.children, internal=True, shown_file=target)
    node.replace_self(shown)


def _resolve_links(app, doctree, docname):
    for node in doctree.findall(nodes.reference):
        if "shown_file" in node:
            node["refuri"] = app.builder.get_relative_uri(docname, _page(node["shown_file"]))


def _page(target):
    return _SHOWN + (f"{target}/index" if (_ROOT / target).is_dir() else target)


def _pages(app):
    targets = {target for found in app.env.shown_files.values() for target in found}
    for target in sorted(targets | {name for one in targets for name in _within(one)}):
        body = _listing(target) if (_ROOT / target).is_dir() else _source(app, target)
        yield _page(target), {"title": target, "body": f"<h1>{html.escape(target)}</h1>{body}"}, "page.html"


def _within(target):
    return (
        {name for name in _TRACKED if name.startswith(f"{target}/")} if (_ROOT / target).is_dir() else set()
    )


def _listing(target):
    rows = "".join(
        f'<li><a href="{html.escape(posixpath.relpath(name, target))}.html">{html.escape(name)}</a></li>'
        for name in sorted(_within(target))
    )
    return f"<ul>{rows}</ul>"


def _source(app, target):
    text = (_ROOT / target).read_text(encoding="utf-8")
    try:
        lexer = guess_lexer_for_filename(target, text).aliases[0]
    except (ClassNotFound, IndexError):
        lexer = "text"
    return app.builder.highlighter.highlight_block(text, lexer, linenos="inline", force=True)


def _forget(_app, env, docname):
    getattr(env, "shown_files", {}).pop(docname, None)


def setup(app):
    """Connect to Sphinx."""
    app.connect("doctree-read", _find_links, priority=400)
    app.connect("doctree-resolved", _resolve_links)
    app.connect("html-collect-pages", _pages)
    app.connect("env-purge-doc", _forget)
