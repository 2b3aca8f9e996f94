"""`python -m aiojobs_verification`: see `cli.commands`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from aiojobs_verification.cli.commands import main

    sys.exit(main(sys.argv[1:]))
