"""Every contract of the pure core, given to CrossHair, and which of its answers count.

Rules of this file: CrossHair's exit code is not listened to. A contract passes if there is a line that says
"Confirmed over all paths", and if its probe (`contracts.probes`) was refuted, which shows that some input
reaches its end. No line, "Not confirmed", a counterexample, a probe that was not refuted, and a line that
belongs to no contract are failures, each under the name of its contract. Contracts that are false on purpose
must be refuted, in every run.

How it works: each module of contracts is checked in a process of its own, and so is each module of probes.
The library that they import is that of the source tree under `root`; that this is so is asked first.

Deliberately not here: the contracts (`symbolic.proofs`), their form (`contracts`), the tool (`confirm`).
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiojobs_verification.symbolic.confirm import SURE, CrossHair, Said
from aiojobs_verification.symbolic.contracts import CONFIRMED, REACHED, REFUTED, Contract, read_contracts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["CHECKED", "PROOFS", "Confirmation", "SymbolicResults", "check"]

CHECKED: Final = ("_admission.py", "_lifecycle.py", "_validate.py")
"""The pure modules that the contracts are about."""

PROOFS: Final = Path(__file__).parent / "proofs"
_SECONDS: Final = {False: 30, True: 120}
"""What CrossHair may spend on one contract, in seconds of CPU; more in the full tier."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What became of one contract; `fault` is empty if it is as it should be."""

    contract: Contract
    verdict: str
    fault: str = ""
    at: str = ""
    """The claim that the counterexample breaks, if there is one."""

    def as_dict(self) -> dict[str, Any]:
        """The plain form; the same for every run on the same files, unless it failed."""
        wanted = {"name": self.contract.title, "wanted": self.contract.wanted, "verdict": self.verdict}
        return wanted | ({"fault": self.fault, "at": self.at} if self.fault else {})


@dataclass(frozen=True, slots=True)
class SymbolicResults:
    """All results."""

    results: tuple[Confirmation, ...]
    checked: Mapping[str, str]
    """Each module that was checked, and its digest."""
    faults: tuple[str, ...] = ()
    """What is wrong with the run itself."""
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether everything, of which there must be something, came out as expected."""
        confirmed = [result for result in self.results if result.contract.wanted == CONFIRMED]
        return bool(confirmed) and not self.faults and not any(result.fault for result in self.results)

    def figures(self) -> dict[str, int]:
        """What was counted."""
        good = [result for result in self.results if not result.fault]
        confirmed = sum(result.contract.wanted == CONFIRMED for result in good)
        return {
            "contracts": len(self.results),
            "confirmed over all paths": confirmed,
            "shown to be reachable": confirmed,
            "false on purpose and refuted": len(good) - confirmed,
        }

    def as_dict(self) -> dict[str, Any]:
        """The plain form, for `--json`."""
        covers: defaultdict[str, list[str]] = defaultdict(list)
        for result in self.results:
            for requirement in () if result.fault else result.contract.requirements:
                covers[requirement].append(result.contract.title)
        return {
            "status": "pass" if self.holds else "fail",
            "figures": self.figures(),
            "covers": {requirement: sorted(names) for requirement, names in sorted(covers.items())},
            "planted": {
                result.contract.title: f"false on purpose; {result.verdict}"
                for result in self.results
                if result.contract.wanted == REFUTED and not result.fault
            },
            "kind": "symbolic",
            "versions": {name: metadata.version(name) for name in ("crosshair-tool", "z3-solver")},
            "checked": dict(self.checked),
            "faults": list(self.faults),
            "contracts": [result.as_dict() for result in self.results],
            "timing": {"seconds": round(self.seconds, 1)},
        }


def check(
    root: Path,
    folder: Path,
    *,
    full: bool = False,
    jobs: int = 1,
    say: Callable[[str], object] = lambda _: None,
    only: Iterable[str] | None = None,
    seconds: int | None = None,
) -> SymbolicResults:
    """Check every contract in `folder`, or `only` those of these names, against the source tree `root`.

    `seconds` is what CrossHair may spend on each.
    """
    begun = time.perf_counter()
    contracts = read_contracts(folder, full=full)
    if only is not None:
        contracts = tuple(contract for contract in contracts if contract.name in set(only))
    source = root / "src" / "aiojobs"
    with tempfile.TemporaryDirectory() as scratch:
        tool = CrossHair(root, folder, Path(scratch), seconds or _SECONDS[full])
        fault = tool.wrong_library()
        results, strays = ((), ()) if fault else _check_all(tool, contracts, jobs, say)
    return SymbolicResults(
        results=results,
        checked={name: _digest(source / name) for name in CHECKED},
        faults=(fault,) if fault else strays,
        seconds=time.perf_counter() - begun,
    )


def _digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _check_all(
    tool: CrossHair, contracts: Sequence[Contract], jobs: int, say: Callable[[str], object]
) -> tuple[tuple[Confirmation, ...], tuple[str, ...]]:
    modules: defaultdict[str, list[Contract]] = defaultdict(list)
    for contract in contracts:
        modules[contract.module].append(contract)
    results, strays = list[Confirmation](), list[str]()
    with ThreadPoolExecutor(jobs) as pool:
        runs = [pool.submit(_check_module, tool, module, found) for module, found in modules.items()]
        for module, run in zip(modules, runs, strict=True):
            of_module, stray, seconds = run.result()
            results += of_module
            strays += stray
            good = sum(not result.fault for result in of_module)
            say(f"{module}: {good} of {len(of_module)} as expected, {seconds:.0f} s")
    return tuple(results), tuple(strays)


def _check_module(
    tool: CrossHair, module: str, contracts: Sequence[Contract]
) -> tuple[list[Confirmation], list[str], float]:
    begun = time.perf_counter()
    sound = [contract for contract in contracts if not contract.flaw]
    said = tool.check(module, sound)
    claimed = [contract for contract in sound if contract.wanted == CONFIRMED]
    probed = tool.probe(module, claimed)
    results = [_judge(contract, said, probed) for contract in contracts]
    return results, [*said.strays, *probed.strays], time.perf_counter() - begun


def _judge(contract: Contract, said: Said, probed: Said) -> Confirmation:
    """Believe what was said of a contract only as far as it goes."""
    if contract.flaw:
        return Confirmation(contract, "not checked", contract.flaw)
    messages = said.of(contract)
    errors = [message for message in messages if message.is_error]
    if errors:
        fault = f"counterexample: {errors[0].text}" if contract.wanted == CONFIRMED else ""
        return Confirmation(contract, REFUTED, fault, errors[0].at)
    if [message.text for message in messages] != [SURE]:
        heard = "; ".join(message.text for message in messages) or said.silence
        return Confirmation(contract, "not confirmed", heard)
    if contract.wanted == REFUTED:
        return Confirmation(contract, CONFIRMED, "it is false, and was confirmed")
    if not any(message.is_error and REACHED in message.text for message in probed.of(contract)):
        heard = "; ".join(message.text for message in probed.of(contract)) or probed.silence
        fault = f"no input that meets its precondition reaches its end, so it says nothing ({heard})"
        return Confirmation(contract, "vacuous", fault)
    return Confirmation(contract, CONFIRMED)
