"""``python -m tests.bench``: the commands of the benchmark.

python -m tests.bench compare --tree base=/tmp/clone/src --tree new=src
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import compare
from .contenders import KINDS, OWN
from .progress import Progress
from .rounds import Contestant, Settings, run
from .workloads import WORKLOADS


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(required=True)
    _add_compare(commands.add_parser("compare", help="source trees of this package side by side"))
    asked = parser.parse_args(argv)
    code: int = asked.run(asked)
    return code


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", action="append", default=[], metavar="WORKLOAD", type=_workload,
                        help="measure this one; may be repeated")  # fmt: skip
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the workers")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--seconds", type=float, default=0.3, help="how long a worker repeats (0.3)")
    parser.add_argument("--patience", type=float, default=60, help="how long a worker may take (60)")


def _workload(text: str) -> str:
    """A name, or a name with hyphens for what is between its words."""
    plain = {_plain(name): name for name in WORKLOADS}
    if _plain(text) not in plain:
        raise argparse.ArgumentTypeError(f"unknown workload {text!r}; there are: {', '.join(plain)}")
    return plain[_plain(text)]


def _plain(text: str) -> str:
    return "-".join(text.replace("-", " ").replace(",", " ").replace("_", " ").split())


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tree", action="append", required=True, metavar="LABEL=FOLDER", type=_tree,
                        help="a folder that contains `aiojobs`; the first is the base")  # fmt: skip
    parser.add_argument("--with", action="append", default=[], dest="beside", choices=KINDS, metavar="NAME",
                        help=f"a contender beside the trees: {', '.join(KINDS)}")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, help="number of jobs (default: that of the goals)")
    parser.set_defaults(run=_compare)
    _add_common(parser)


def _tree(text: str) -> Contestant:
    label, _, folder = text.rpartition("=")
    path = Path(folder).resolve()
    if not (path / "aiojobs" / "__init__.py").is_file():
        raise argparse.ArgumentTypeError(f"{path} does not contain the package aiojobs")
    return Contestant(label or path.parent.name, OWN, str(path))


def _compare(asked: argparse.Namespace) -> int:
    beside = [Contestant(name, name) for name in asked.beside]
    contestants = [*asked.tree, *beside]
    settings = Settings(asked.python, asked.rounds, asked.seconds, asked.patience, asked.loop)
    cells = compare.cells(asked.only, asked.size)
    samples = run(cells, contestants, settings, Progress())
    print(compare.table(samples, contestants))
    return 0


if __name__ == "__main__":
    sys.exit(main())
