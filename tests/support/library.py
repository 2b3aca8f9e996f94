"""Where the library is: processes that a test starts are to import the same one, be it pure, compiled or installed."""

from pathlib import Path

import aiojobs

SOURCES = str(Path(aiojobs.__file__).parents[1])
