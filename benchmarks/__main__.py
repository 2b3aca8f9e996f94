"""``python -m benchmarks``: the commands of the benchmark.

run      measure, and write build/bench/bench.md, bench.json and the pictures: what `make bench` does
compare  source trees of this package side by side: --tree base=/tmp/clone/src --tree new=src
calls    which functions a job goes through, and how often: --only spawn-and-drain
instructions  how many machine instructions a job takes, or the import: --only spawn-and-drain --tree new=src
report   the tables and pictures once more, from a bench.json
guarantees  what each guarantee costs: the library without one of them, beside the library as it is
publish  a run, or what guarantees cost, into docs/explanation/performance.md, README.md and the pictures
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import calls, compare, costs, guarantees, instructions, machine, plan, publish, report
from .contenders import BASELINE, BUILDS, KINDS, OWN, make
from .document import document, samples_of
from .machine import ROOT
from .progress import Progress
from .rounds import Contestant, Settings, run
from .table import Samples
from .workloads import TIERS, WORKLOADS

_OUT = ROOT / "build" / "bench"


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says."""
    as_it_stands = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks", description=__doc__, formatter_class=as_it_stands)
    commands = parser.add_subparsers(required=True)
    _add_run(commands.add_parser("run", help="measure, and write the report"))
    _add_compare(commands.add_parser("compare", help="source trees of this package side by side"))
    _add_calls(commands.add_parser("calls", help="which functions a job goes through, and how often"))
    _add_instructions(commands.add_parser("instructions", help="what a job, or the import, takes of them"))
    _add_guarantees(commands.add_parser("guarantees", help="what each guarantee costs"))
    for name, function in (("report", _report), ("publish", _publish)):
        again = commands.add_parser(name, help=f"{name} a run that is in a file")
        again.add_argument("file", type=Path, nargs="?", default=_OUT / "bench.json")
        again.set_defaults(run=function)
    asked = parser.parse_args(argv)
    try:
        code: int = asked.run(asked)
    except KeyboardInterrupt:
        print("\nInterrupted: nothing was written.", file=sys.stderr)
        return 130
    return code


# --- Command lines ------------------------------------------------------------------------------------------


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tier", choices=TIERS, default="default")
    parser.add_argument("--contender", action="append", default=[], choices=KINDS, metavar="NAME",
                        help=f"measure this one; may be repeated: {', '.join(KINDS)}")  # fmt: skip
    parser.add_argument("--build", action="append", default=[], choices=BUILDS,
                        help="measure this build of this package; may be repeated (default: those that are there: "
                             "hatch_compile.py makes the compiled one)")  # fmt: skip
    parser.add_argument("--rounds", type=int, help="rounds at the sizes of the goals (default: by tier)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the document goes")
    _add_common(parser)
    parser.set_defaults(run=_run)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tree", action="append", required=True, metavar="LABEL=FOLDER", type=_tree,
                        help="a folder that contains `aiojobs`; the first is the base")  # fmt: skip
    parser.add_argument("--with", action="append", default=[], dest="beside", choices=KINDS, metavar="NAME",
                        help=f"a contender beside the trees: {', '.join(KINDS)}")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=7)
    _add_common(parser)
    parser.set_defaults(run=_compare, tier="default")


def _add_calls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--contender", choices=KINDS, default=OWN, metavar="NAME")
    parser.add_argument("--only", action="append", required=True, metavar="WORKLOAD", type=_workload)
    parser.add_argument("--size", type=int, default=20_000, help="number of jobs (20000)")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.set_defaults(run=_calls)


def _add_instructions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tree", action="append", default=[], metavar="LABEL=FOLDER", type=_tree,
                        help="a folder that contains `aiojobs`")  # fmt: skip
    parser.add_argument("--with", action="append", default=[], dest="beside", choices=KINDS, metavar="NAME",
                        help="a contender beside the trees")  # fmt: skip
    parser.add_argument("--only", action="append", required=True, metavar="WORKLOAD", type=_workload)
    parser.add_argument("--python", default=sys.executable, help="the interpreter to count in")
    parser.set_defaults(run=_instructions)


def _add_guarantees(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=9)
    half = parser.add_mutually_exclusive_group()
    half.add_argument("--no-time", action="store_true", help="only count instructions")
    half.add_argument("--no-instructions", action="store_true", help="only measure time")
    parser.add_argument("--json", type=Path, metavar="FILE", default=_OUT / "guarantees.json",
                        help="where the document goes")  # fmt: skip
    _add_common(parser)
    parser.set_defaults(run=_guarantees)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", action="append", default=[], metavar="WORKLOAD", type=_workload,
                        help="measure this one; may be repeated")  # fmt: skip
    parser.add_argument("--size", type=int, help="number of jobs (default: by workload and tier)")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the workers")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--no-collector", action="store_false", dest="collector",
                        help="without Python's garbage collector: is it what grows?")  # fmt: skip
    parser.add_argument("--seconds", type=float, help="how long a worker goes on repeating")
    parser.add_argument("--patience", type=float, help="how long a worker may take in all")


def _workload(text: str) -> str:
    """A name, or a name with hyphens for what is between its words."""
    plain = {_plain(name): name for name in WORKLOADS}
    if _plain(text) not in plain:
        raise argparse.ArgumentTypeError(f"unknown workload {text!r}; there are: {', '.join(plain)}")
    return plain[_plain(text)]


def _plain(text: str) -> str:
    return "-".join(text.replace("-", " ").replace(",", " ").replace("_", " ").split())


def _tree(text: str) -> Contestant:
    label, _, folder = text.rpartition("=")
    path = Path(folder).resolve()
    if not (path / "aiojobs" / "__init__.py").is_file():
        raise argparse.ArgumentTypeError(f"{path} does not contain the package aiojobs")
    return Contestant(label or path.parent.name, OWN, str(path))


def _settings(asked: argparse.Namespace, seconds: float, patience: float) -> Settings:
    return Settings(
        asked.python,
        seconds if asked.seconds is None else asked.seconds,
        asked.patience or patience,
        asked.loop,
        asked.collector,
    )


# --- Commands -----------------------------------------------------------------------------------------------


def _run(asked: argparse.Namespace) -> int:
    effort = plan.EFFORTS[asked.tier]
    patience = (asked.patience, asked.patience) if asked.patience else effort.patience
    settings = _settings(asked, effort.seconds, patience[0])
    cells = plan.cells(asked.tier, asked.only, asked.size, asked.rounds)
    about = machine.about(settings.python)
    about |= {"loop": settings.loop, "collector": "on" if settings.collector else "off", "tier": asked.tier}
    about |= {"began": machine.now(), "load at start": machine.load()}
    contestants = plan.contestants(asked.contender, patience, asked.build or machine.builds())
    samples = run(cells, contestants, settings, Progress())
    about |= {"ended": machine.now(), "load at end": machine.load()}
    made = document(about, samples)
    _OUT.mkdir(parents=True, exist_ok=True)
    file = asked.json or _OUT / "bench.json"
    file.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return _show(made, file)


def _compare(asked: argparse.Namespace) -> int:
    contestants = [*asked.tree, *(Contestant(name, name, only=KINDS[name].only) for name in asked.beside)]
    cells = compare.cells(asked.only, asked.size, asked.rounds)
    samples = run(cells, contestants, _settings(asked, 0.3, 60), Progress())
    print(compare.table(samples, contestants))
    return 0


def _calls(asked: argparse.Namespace) -> int:
    if asked.contender == OWN:
        sys.path.insert(0, str(ROOT / "src"))
    for name in asked.only:
        found = calls.profile(make(asked.contender), WORKLOADS[name], asked.size, asked.loop)
        print(f"{asked.contender}, {name}, {asked.size:,} jobs\n")
        print(found if isinstance(found, str) else calls.table(found))
        print()
    return 0


def _instructions(asked: argparse.Namespace) -> int:
    if (reason := instructions.missing()) is not None:
        print(reason, file=sys.stderr)
        return 77
    if asked.beside and instructions.IMPORT in asked.only:
        print("The import is counted of source trees alone: name them with --tree", file=sys.stderr)
        return 2
    contestants = [*asked.tree, *(Contestant(name, name) for name in asked.beside)]
    for workload in asked.only:
        for one in contestants:
            print(f"{workload}, {one.label}: {_count(one, workload, asked.python)}", flush=True)
    return 0


def _count(one: Contestant, workload: str, python: str) -> str:
    if workload == instructions.IMPORT:
        return f"{instructions.of_import(one, python):,} instructions"
    return f"{instructions.for_each_job(one, workload, python):,} instructions for each job"


def _guarantees(asked: argparse.Namespace) -> int:
    catalogue = guarantees.read()
    only = asked.only or catalogue.workloads[:1]
    if others := [name for name in only if name not in catalogue.workloads]:
        print(f"The trees are not made for: {', '.join(others)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="aiojobs-guarantees-") as folder:
        try:
            trees = guarantees.build(catalogue.rows, ROOT / "src", Path(folder).resolve())
        except guarantees.StaleError as stale:
            print(stale, file=sys.stderr)
            return 1
        made = _costs(asked, only, catalogue.rows, trees)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return _show(made, asked.json)


def _costs(
    asked: argparse.Namespace,
    only: Sequence[str],
    rows: Sequence[guarantees.Guarantee],
    trees: dict[str, Path],
) -> dict[str, Any]:
    """Measure the trees, and count, if that is asked for and can be; what is not is remarked on."""
    baseline = f"aiojobs {machine.installed(asked.python, 'aiojobs')}" == BASELINE
    uncounted = "it was not asked for" if asked.no_instructions else instructions.missing()
    if uncounted is None and asked.loop != "asyncio":
        uncounted = "that is done on the loop of asyncio only"
    remarks = [] if baseline else [f"{BASELINE} is not installed: use LOCK=bench sh .ci/env python …"]
    remarks += [f"Instructions were not counted: {uncounted}."] if uncounted else []
    taking_part = costs.contestants(trees, baseline=baseline)
    about = machine.about(asked.python)
    about |= {"loop": asked.loop, "collector": "on" if asked.collector else "off"}
    about |= {"began": machine.now(), "load at start": machine.load()}
    cells = compare.cells(only, asked.size, asked.rounds)
    settings = _settings(asked, 0.3, 60)
    samples = [] if asked.no_time else costs.measure(cells, taking_part, settings, Progress())
    counts = {} if uncounted else costs.count(only, taking_part, asked.python, Progress())
    about |= {"ended": machine.now(), "load at end": machine.load()}
    return costs.document(about, rows, samples, counts, remarks)


def _report(asked: argparse.Namespace) -> int:
    return _show(json.loads(asked.file.read_text(encoding="utf-8")), asked.file)


def _publish(asked: argparse.Namespace) -> int:
    made = json.loads(asked.file.read_text(encoding="utf-8"))
    for path in publish.publish(made):
        print(path.relative_to(ROOT))
    return 0


def _show(made: dict[str, Any], file: Path) -> int:
    """Print the overview, write account and pictures beside the document; 1 if something was wrong."""
    if "guarantees" in made:
        print(costs.text(made))
        return 1 if Samples(samples_of(made)).wrong() else 0
    account = file.with_suffix(".md")
    account.write_text(report.full(made), encoding="utf-8")
    written = [account, file]
    if find_spec("matplotlib"):
        from . import plots

        written += plots.draw(Samples(samples_of(made)), file.parent)
    print(report.overview(made))
    print("\nWritten: " + ", ".join(str(path) for path in written))
    return 1 if Samples(samples_of(made)).wrong() else 0


if __name__ == "__main__":
    sys.exit(main())
