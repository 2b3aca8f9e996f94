"""The description of the library's distribution: README.md, as a package index can show it.

An index shows one page and has no files beside it, so links to files of the repository lead nowhere there. Where
``AIOJOBS_SOURCE_URL`` says at which address the files can be read, such as ``https://host/project/blob/v2.0.0``, they
become links to that address. The repository itself has no public address: without one the links lose their target
and keep their text, and the picture its place to its description.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_INSIDE = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:)([^)\s]+)\)")
_COMMENT = re.compile(r"^<!--.*?-->\n", re.MULTILINE)


class Description(MetadataHookInterface):
    """What hatchling asks for the metadata that pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the description."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        described = described_for_an_index(text, os.environ.get("AIOJOBS_SOURCE_URL", ""))
        metadata["readme"] = {"content-type": "text/markdown", "text": described}


def described_for_an_index(text: str, address: str) -> str:
    """The text without links that lead to nothing; `address` is where the files can be read, or nothing."""

    def link(found: re.Match[str]) -> str:
        picture, shown, target = found.groups()
        if target.startswith("#"):
            return found[0]
        if address:
            return f"{picture}[{shown}]({address.rstrip('/')}/{target})"
        return f"*{shown}*" if picture else shown

    return _INSIDE.sub(link, _COMMENT.sub("", text))
