"""The documentation site: `make docs`. Sphinx reads the pages where they are; a warning is an error.

Rules of this file: settings only. What this project adds to Sphinx is in `aiojobs_site`, a module for each thing.
The root of the repository is the root of the site, so that a link from a page to a file means the same on both.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import aiojobs

# Those that the package imports when they are asked for are among its names only then.
for _name in aiojobs.__all__:
    setattr(aiojobs, _name, getattr(aiojobs, _name))

project = "aiojobs"
author = "the aiojobs maintainers"
copyright = "Apache-2.0"  # noqa: A001 - the name is Sphinx's
version = release = aiojobs.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "aiojobs_site",
]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/**",
    "spec/**.md",
    "tests/README.md",
]
exclude_patterns = [".*", "build", "dist", "**/__pycache__"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

nitpicky = True
default_role = "named"
# Types of others and private ones have no page here. What begins in a small letter may be an argument.
nitpick_ignore_regex = [
    ("py:(?!obj).*", r"(?!aiojobs).*"),
    ("py:.*", r"aiojobs(\.\w+)*\._.*"),
    ("py:obj", r"[a-z_]\w*"),
]

myst_heading_anchors = 6
myst_fence_as_directive = ["mermaid"]
suppress_warnings = ["misc.highlighting_failure"]

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
add_module_names = False
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"aiojobs {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
html_additional_pages = {"index": "first.html"}
templates_path = ["templates"]
pygments_style = "friendly"
pygments_dark_style = "github-dark"
