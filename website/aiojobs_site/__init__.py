"""What this project adds to Sphinx: a module for each thing, connected here."""

from aiojobs_site import anchors, files, ids, names, navigation, pictures, uses

__all__ = ["setup"]


def setup(app):
    """Connect everything."""
    for part in (anchors, files, ids, names, navigation, pictures, uses):
        part.setup(app)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": False}
