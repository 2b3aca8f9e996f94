"""A program: do tests of the library pass on the compiled build that this interpreter has installed?

What tests need of the repository is put on the path; the library is not.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ("tests/unit", "tests/regression", "tests/conformance")

environment = {**os.environ, "PYTHONPATH": str(ROOT / "verification" / "src")}
code = "import aiojobs, sys; sys.exit(aiojobs.__build__ != 'compiled' and 'not compiled')"
for command in (("-c", code), ("-m", "pytest", "-q", "-m", "not slow", *TESTS)):
    subprocess.run([sys.executable, "-W", "error", *command], cwd=ROOT, env=environment, check=True)
