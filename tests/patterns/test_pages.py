"""The program of a page that has real threads."""

import subprocess
import sys

from docs import pages

PAGE = "docs/howto/threads-and-processes.md"


def test_the_function_that_is_told_to_stop_says_how_far_it_got(tmp_path):
    pages.write_files(PAGE, tmp_path)
    command = [sys.executable, "-W", "error", "copying.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("returned - stopped before file ")
    assert done.stderr == ""
