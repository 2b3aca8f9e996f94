"""Rules that the source of the runtime keeps, read from its syntax tree; each shown to find a planted breach.

A rule is a function from the name of a module and its text to a list of findings, one line each.
"""

import ast
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import aiojobs

SOURCE = Path(aiojobs.__file__).parent
ROOT = Path(__file__).parents[2]
MODULES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(SOURCE.glob("*.py"))}


def layers(page):
    """The modules of each layer, from the ground up, as the table of the page has them."""
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", page, re.MULTILINE)
    numbers = range(1, max((int(number) for number, _ in rows), default=0) + 1)
    return [{module for number, module in rows if int(number) == wanted} for wanted in numbers]


HOUSE = "docs/explanation/architecture.md"
# A module may import what stands in a lower layer, for type checkers too, and nothing else of this package.
LAYERS = layers((ROOT / HOUSE).read_text(encoding="utf-8"))
# They stand around the scheduler and are told by it, as a user's own code would be.
AROUND = {
    *(
        "_asgi",
        "_asgi_life",
        "_asgi_request",
        "_atomic",
        "_calling",
        "_history",
        "_lane_job",
        "_live_page",
        "_measuring",
    ),
    *(
        "aiohttp",
        "asgi",
        "batch",
        "elsewhere",
        "fastapi",
        "inspect",
        "lanes",
        "loops",
        "opentelemetry",
        "prometheus",
        "signals",
        "starlette",
        "tracing",
    ),
}
PURE = {"_lifecycle", "_admission"}
PURE_IMPORTS = {"__future__", "collections", "enum", "typing"}
THIRD_PARTY = {  # by module
    "aiohttp": {"aiohttp"},
    "fastapi": {"fastapi"},
    "opentelemetry": {"opentelemetry"},
    "prometheus": {"prometheus_client"},
    "starlette": {"starlette"},
}
# By module: sets that are asked whether something is in them, and never walked.
SETS = {"_ownership": {"foreign"}, "_core": {"foreign"}}


def owned_nodes(tree):
    """Every node with the dotted name of the class and function that it stands in."""

    def walk(node, owner):
        for child in ast.iter_child_nodes(node):
            inner = owner
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = f"{owner}.{child.name}".lstrip(".")
            yield child, owner
            yield from walk(child, inner)

    yield from walk(tree, "")


# Who may assign a state.


def writers(text, attribute):
    """Where an attribute of that name is assigned or deleted, by whatever syntax."""
    found = []
    for node, owner in owned_nodes(ast.parse(text)):
        stores = (
            isinstance(node, ast.Attribute) and node.attr == attribute and not isinstance(node.ctx, ast.Load)
        )
        named = isinstance(node, ast.Call) and any(
            isinstance(argument, ast.Constant) and argument.value == attribute for argument in node.args
        )
        calls = named and ast.unparse(node.func).split(".")[-1] in {
            "setattr",
            "delattr",
            "__setattr__",
            "__delattr__",
            "__set__",
            "__delete__",
        }
        if stores or calls:
            found.append(owner)
    return found


def all_writers(modules, attribute):
    return sorted(
        f"{module}.{owner}" for module, text in modules.items() for owner in writers(text, attribute)
    )


@pytest.mark.requirement("CLOSE-3", "LIMIT-6")
def test_one_function_assigns_the_state_of_a_job():
    assert all_writers(MODULES, "current") == ["_job_state.accept", "_job_state.fire"]


@pytest.mark.requirement("SHUT-1")
def test_one_function_assigns_the_phase_of_a_scheduler():
    assert all_writers(MODULES, "phase") == ["_admission.Admission.__init__", "_admission.Admission.move"]


@pytest.mark.requirement("LIMIT-1")
@pytest.mark.parametrize("counter", ["running", "pending", "blocked"])
def test_only_the_admission_counts(counter):
    assert {writer.split(".")[0] for writer in all_writers(MODULES, counter)} == {"_admission"}


@pytest.mark.parametrize(
    "breach",
    [
        "job.current = State.DONE",
        "job.current: State = State.DONE",
        "job.current += 1",
        "a, (job.current, b) = values",
        "[*job.current] = values",
        "for job.current in states: pass",
        "with lock as job.current: pass",
        "del job.current",
        "setattr(job, 'current', State.DONE)",
        "object.__setattr__(job, 'current', State.DONE)",
        "type(job).current.__set__(job, 'current')",
    ],
)
def test_every_way_to_assign_is_found(breach):
    text = f"class Job:\n    def let_go(self, job):\n        {breach}\n"
    assert writers(text, "current") == ["Job.let_go"]


@pytest.mark.parametrize(
    "innocent", ["x = job.current", "job.state = 1", "getattr(job, 'current')", "current = 1"]
)
def test_reading_is_no_assigning(innocent):
    assert writers(innocent, "current") == []


# What the table has and nothing brings about.

TABLES = (aiojobs.Event, aiojobs.Outcome, aiojobs.PhaseEvent)


def unused(modules):
    """Events and outcomes of the tables that no other module names: cells that can never be entered."""
    named = {
        ast.unparse(node)
        for module, text in modules.items()
        if module != "_lifecycle"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute)
    }
    return sorted({_dotted(member) for enum in TABLES for member in enum} - named)


def _dotted(member):
    return f"{type(member).__name__}.{member.name}"


@pytest.mark.requirement("CLOSE-3")
def test_the_library_brings_about_each_event_and_outcome_of_the_tables():
    assert unused(MODULES) == []


def test_an_event_that_nothing_brings_about_is_found():
    without = {module: text.replace("Event.CANCEL", "Event.FINISH") for module, text in MODULES.items()}
    assert unused(without) == ["Event.CANCEL"]


# Who may import whom.


def imports(text):
    """Runtime imports as pairs of level and dotted name; and, separately, those for type checkers."""
    runtime, typing_only = [], []

    def visit(node, target):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for inner in child.body:
                    visit(ast.Module([inner], []), typing_only)
                for inner in child.orelse:
                    visit(ast.Module([inner], []), target)
            elif isinstance(child, ast.Import):
                target.extend((0, alias.name) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = f"{child.module}." if child.module else ""
                target.extend((child.level, base + alias.name) for alias in child.names)
            elif isinstance(child, ast.Call) and ast.unparse(child.func).split(".")[-1] in {
                "__import__",
                "import_module",
            }:
                target.append((0, ast.literal_eval(child.args[0])))
            else:
                visit(child, target)

    visit(ast.parse(text), runtime)
    return runtime, typing_only


def every_import(text):
    """Those for type checkers too."""
    return [name for found in imports(text) for name in found]


def siblings(found):
    """The modules of this package among the imports, by their names inside it."""
    names = [name for level, name in found if level == 1]
    names += [
        name.removeprefix("aiojobs.") for level, name in found if not level and name.startswith("aiojobs.")
    ]
    own = ["__init__" for level, name in found if not level and name == "aiojobs"]
    return [name.split(".")[0] for name in names] + own


def rank(module):
    return next((number for number, layer in enumerate(LAYERS) if module in layer), None)


def climbing_imports(module, text):
    """Imports of what stands higher, or is in no layer at all."""
    here = rank(module)
    if here is None:
        return [f"{module} has no layer: give it a row in the table of {HOUSE}"]
    findings = []
    for name in siblings(every_import(text)):
        there = rank(name) if name in MODULES or rank(name) is not None else rank("__init__")
        if there is None:
            findings.append(f"{module} imports {name}, which has no layer in the table of {HOUSE}")
        elif there >= here:
            findings.append(f"{module} imports {name}, which does not stand lower")
    return findings


def circles(modules):
    """Raises if modules import each other in a circle."""
    graph = {module: set(siblings(every_import(text))) for module, text in modules.items()}
    return list(TopologicalSorter(graph).static_order())


def imports_of_the_verification(text):
    return [name for found in imports(text) for _, name in found if name.startswith("aiojobs_verification")]


@pytest.mark.parametrize("module", MODULES)
def test_nothing_lower_imports_anything_higher(module):
    assert climbing_imports(module, MODULES[module]) == []


def test_the_documented_layers_are_about_every_module_and_no_other():
    assert set().union(*LAYERS) == set(MODULES)
    assert all(LAYERS)


def test_no_modules_import_each_other_in_a_circle():
    assert set(circles(MODULES)) == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_the_library_does_not_know_the_verification(module):
    assert imports_of_the_verification(MODULES[module]) == []


@pytest.mark.parametrize(
    ("module", "breach"),
    [
        ("_admission", "from ._job import Job"),
        ("_admission", "from . import _scheduler"),
        ("_lifecycle", "from ._admission import Admission"),
        ("_job", "import aiojobs._core"),
        ("_job", "from aiojobs._core import Core"),
        ("_job", "if TYPE_CHECKING:\n    from ._scheduler import Scheduler"),
        ("_job", "from aiojobs import Scheduler"),
        ("_job", "def late():\n    from ._scheduler import Scheduler"),
        ("_job", "if TYPE_CHECKING:\n    pass\nelse:\n    from ._scheduler import Scheduler"),
        ("_job", "importlib.import_module('aiojobs._scheduler')"),
        ("_scheduler", "from .aiohttp import setup"),
        ("__init__", "from .signals import stop_on_signals"),
        ("_scheduler", "from .tracing import TraceWriter"),
        ("_scheduler", "from ._novelty import something"),
        ("_novelty", "import enum"),
    ],
)
def test_every_climbing_import_is_found(module, breach):
    assert len(climbing_imports(module, breach)) == 1


def test_a_circle_is_found():
    with pytest.raises(ValueError, match="cycle"):
        circles({"_events": "from . import _reporting", "_reporting": "from ._events import Record"})


def test_a_circle_of_imports_for_type_checkers_is_one():
    with pytest.raises(ValueError, match="cycle"):
        circles({"_core": "if TYPE_CHECKING:\n    from ._job import Job", "_job": "from ._core import Core"})


@pytest.mark.parametrize(
    "breach",
    [
        "from aiojobs_verification import specification",
        "import aiojobs_verification.specification.reference_machine",
        "if TYPE_CHECKING:\n    from aiojobs_verification import x",
    ],
)
def test_every_import_of_the_verification_is_found(breach):
    assert len(imports_of_the_verification(breach)) == 1


# What comes from outside.


def foreign_imports(module, text):
    """Imports of anything but the standard library and this package."""
    top = {name.split(".")[0] for found in imports(text) for level, name in found if level == 0}
    return sorted(top - sys.stdlib_module_names - {"aiojobs"} - THIRD_PARTY.get(module, set()))


def impure_imports(module, text):
    """What a pure module imports beyond the little that is pure itself."""
    if module not in PURE:
        return []
    outside = {name.split(".")[0] for found in imports(text) for level, name in found if level == 0}
    inside = {name for found in imports(text) for name in siblings(found)}
    return sorted((outside - PURE_IMPORTS) | (inside - PURE))


@pytest.mark.parametrize("module", MODULES)
def test_the_runtime_stands_on_the_standard_library_alone(module):
    assert foreign_imports(module, MODULES[module]) == []


@pytest.mark.parametrize("module", sorted(PURE))
def test_the_pure_core_knows_neither_asyncio_nor_anything_impure(module):
    assert "asyncio" not in {name for _, name in imports(MODULES[module])[0]}
    assert impure_imports(module, MODULES[module]) == []


@pytest.mark.parametrize(
    ("module", "breach", "found"),
    [
        ("_job", "import transitions", ["transitions"]),
        ("_job", "from z3.z3 import Int", ["z3"]),
        ("_job", "def late():\n    import uvloop", ["uvloop"]),
        ("_scheduler", "from aiohttp import web", ["aiohttp"]),
        ("aiohttp", "from aiohttp import web", []),
        ("_job", "if TYPE_CHECKING:\n    import pydantic", ["pydantic"]),
    ],
)
def test_every_import_from_outside_is_found(module, breach, found):
    assert foreign_imports(module, breach) == found


@pytest.mark.parametrize(
    "breach",
    [
        "import asyncio",
        "from asyncio import Future",
        "import time",
        "if TYPE_CHECKING:\n    import asyncio",
        "from ._job import Job",
        "def late():\n    import random",
    ],
)
def test_every_impure_import_of_the_pure_core_is_found(breach):
    assert len(impure_imports("_admission", breach)) == 1


# What is for users.


def without_reference(modules, pages):
    """Public modules that have no section in the reference."""
    named = {name for page in pages for name in re.findall(r"^##? `?aiojobs\.(\w+)`?$", page, re.MULTILINE)}
    return sorted(module for module in modules if not module.startswith("_") and module not in named)


def test_every_public_module_has_its_section_in_the_reference():
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs/reference").glob("*.md")]
    assert without_reference(MODULES, pages) == []


def test_a_public_module_without_a_section_is_found():
    page = "# API\n\n## aiojobs.signals\n\n```python\nimport aiojobs.novelty\n```\n"
    assert without_reference(["_core", "signals", "novelty"], [page]) == ["novelty"]


# Sets.


MAKERS_OF_SETS = {
    "set",
    "frozenset",
    "WeakSet",
    "weakref.WeakSet",
    "wait",
    "asyncio.wait",
    "all_tasks",
    "asyncio.all_tasks",
}


def sets(module, text):
    """Sets that are made, and sets that are walked through: their order is that of addresses in memory."""
    known = SETS.get(module, set()) | {name for names in SETS.values() for name in names}
    tree = ast.parse(text)
    allowed = _declared(tree, SETS.get(module, set()))
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    findings = []
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        makes = isinstance(node, ast.Set | ast.SetComp) or (
            isinstance(node, ast.Call) and ast.unparse(node.func) in MAKERS_OF_SETS
        )
        views = isinstance(node, ast.BinOp) and any(
            isinstance(side, ast.Call) and ast.unparse(side.func).endswith((".keys", ".items"))
            for side in (node.left, node.right)
        )
        if (makes and line not in allowed) or views:
            findings.append(f"{module}:{line} makes a set: {ast.unparse(node)[:60]}")
        if isinstance(node, ast.Name) and node.id in known and isinstance(node.ctx, ast.Load):
            use = parents[node]
            asked = isinstance(use, ast.Compare) and all(isinstance(op, ast.In | ast.NotIn) for op in use.ops)
            changed = isinstance(use, ast.Attribute) and use.attr in {"add", "discard"}
            whether_any = _is_asked(node, parents)
            if not (asked or changed or whether_any):
                findings.append(f"{module}:{line} walks through {node.id}: {ast.unparse(use)[:60]}")
    return findings


def _is_asked(node, parents):
    """Whether all that matters of an expression is if it is true: it is, or is a part of, what an `if` asks."""
    use = parents[node]
    if isinstance(use, ast.BoolOp) or (isinstance(use, ast.UnaryOp) and isinstance(use.op, ast.Not)):
        return _is_asked(use, parents)
    return isinstance(use, ast.If) and use.test is node


def _declared(tree, names):
    """The lines on which a known set is made, empty."""
    return {
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id in names
        and ast.unparse(node.value) == "set()"
        and ast.unparse(node.annotation) == "set[int]"
    }


@pytest.mark.requirement("BOOK-2")
@pytest.mark.parametrize("module", sorted(set(MODULES) - {"_lifecycle"}))
def test_no_set_is_walked_through(module):
    assert sets(module, MODULES[module]) == []


def test_the_sets_of_the_generated_table_hold_states_alone():
    found = sets("_lifecycle", MODULES["_lifecycle"])
    assert all("State." in finding for finding in found)


@pytest.mark.parametrize(
    "breach",
    [
        "jobs = set()",
        "jobs: set[int] = set()",
        "jobs = {first, second}",
        "jobs = {job for job in running}",
        "jobs = frozenset(running)",
        "jobs = weakref.WeakSet()",
        "done, pending = await asyncio.wait(tasks)",
        "for task in asyncio.all_tasks(): pass",
        "for job in running.keys() & queue.keys(): pass",
        "for number in foreign: pass",
        "numbers = list(foreign)",
        "numbers = [*foreign]",
        "number = foreign.pop()",
        "others = foreign",
        "others = foreign or jobs",
        "if failed or list(foreign): pass",
        "foreign: set[Job] = set()",
        "foreign: set[int] = set(jobs)",
    ],
)
def test_every_set_is_found(breach):
    assert sets("_core", breach)


@pytest.mark.parametrize(
    "innocent",
    [
        "foreign: set[int] = set()",
        "if id(coro) in foreign: foreign.discard(id(coro))",
        "if foreign: release(coro)",
        "if failed or not (foreign and gone): release(coro)",
        "jobs = {}",
        "jobs = {job: None}",
        "jobs = dict.fromkeys(jobs)",
        "await self.wait()",
        "future.set_result(None)",
    ],
)
def test_what_is_no_set_is_no_finding(innocent):
    assert sets("_core", innocent) == []


# The gate to foreign code.

FOREIGN_METHODS = {
    *(
        "add_done_callback",
        "call_at",
        "call_exception_handler",
        "call_later",
        "call_soon",
        "cancel",
        "cancelled",
    ),
    *(
        "close",
        "create_future",
        "create_task",
        "done",
        "ensure_future",
        "exception",
        "extract_stack",
        "get_coro",
    ),
    *("get_debug", "get_loop", "get_name", "get_task_factory", "handler", "observer", "result", "send"),
    *("set_exception", "set_name", "set_result", "throw", "time", "uncancel"),
}
"""What coroutines, tasks, futures, loops and users have: to call it may run, and raise, anything."""

# Functions that are handed to the gate, and called by nothing else.
BY_THE_GATE = {
    "_reporting": {"Reporting._call", "Reporting._remember_stack"},
    "_shields": {"_Shielded.hand_on"},
    "_steps": {"_receive", "_receive_later"},
    "_tasks": {"cancel_current", "rename"},
}
# The gate's own module has more of them.
OF_THE_GATE = {
    *(
        "cancel",
        "close_coro",
        "failure_of",
        "get_debug",
        "is_done",
        "is_running",
        "name_of",
        "resolve",
        "schedule",
    ),
    *("time_of", "when_of"),
}

# Where foreign code is called without a guard, and why it can do no harm there.
UNGUARDED = {
    "_backpressure.Backpressure.forget_gone": "a future of the loop's own making is asked, not changed",
    "_closing.Closing._arm": "all that a callback of the loop does",
    "_closing.Closing._wait_among": "nothing has changed but who waits, which is undone",
    "_closing.Closing.drain": "nothing has changed yet",
    "_following.Following.follow": "inside the guard of launch",
    "_following.Following.has_ended_unseen": "a task of exactly asyncio's class is asked, not changed",
    "_job.Job._expire": "the end of a timer's callback",
    "_job.Job._until_end": "nothing has changed but who waits, which is undone",
    "_job.Job.add_done_callback": "the end of what its caller asked for",
    "_job.Job.get_name": "all that its caller asked for",
    "_job.Job.set_name": "the end of what its caller asked for",
    "_job.Job.wait": "the job's own method",
    "_launching.Launching._create": "inside the guard of launch",
    "_probe.is_untouched": "nothing has changed yet, and a coroutine of Python's own runs nothing for it",
    "_run.to_gate": "inside the guard of launch, and a coroutine of this package's",
    "_steps.cancelled_after_first_step": "the coroutine's own step: what it raises is what the job comes to",
    "_scheduler.Scheduler.__aexit__": "the scheduler's own method",
    "_scheduler.Scheduler.call_exception_handler": "the end of what its caller asked for, or by the gate",
    "_scheduler.Scheduler.close": "the scheduler's own method",
    "_scheduler.Scheduler.wait_and_close": "the scheduler's own method",
    "_shields.Shields.shield": "nothing has changed yet but the claim, and a coroutine is taken by a guarded call",
    "_shields._Shielded.__init__": "nothing has changed yet",
    "_shields._Shielded._on_inner_done": "a future of the loop's own making is asked, not changed",
    "_shields._Shielded.new_outer": "the end of what its caller asked for",
    "_threads.Threads._arrived": "the caller's future, which is told last; what its callbacks raise is logged there",
    "_threads.Threads._cancelled": "the end of a callback",
    "_threads.Threads._enter": "before anything has changed, or the caller's future, which is told last",
    "_threads.Threads._wait": "futures of the loop's and of the caller's; what their callbacks raise is logged",
    "_threads._Call._end": "in the caller's thread, of its own future and a loop that is no more",
    "_threads._Call._wait": "in the caller's thread, which it may well reach",
    "_threads._Call.exception": "the caller's own method",
    "_threads._Call.result": "the caller's own method",
    "_threads._fail_call": "the caller's future, which is told last",
    "_timing.Timing._allow": "all that a callback of the loop does",
    "_timing.Timing.start": "inside the guard of launch",
}


def _guards(node):
    """Whether a `try` catches all that its body raises."""
    caught = [ast.unparse(handler.type) if handler.type else "BaseException" for handler in node.handlers]
    return "BaseException" in caught


def calls_out(text):
    """Where a foreign method is called outside of a `try` that catches everything, by the function that does."""
    found = []

    def visit(node, owner, guarded):
        for field, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if not isinstance(child, ast.AST):
                    continue
                inner, safe = owner, guarded
                if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    inner, safe = f"{owner}.{child.name}".lstrip("."), False
                if isinstance(node, ast.Try) and field == "body":
                    safe = guarded or _guards(node)
                if isinstance(node, ast.With) and "suppress(BaseException)" in map(ast.unparse, node.items):
                    safe = True
                if isinstance(child, ast.Call) and not safe:
                    name = ast.unparse(child.func).split(".")[-1].split(")")[-1]
                    if name in FOREIGN_METHODS:
                        found.append(inner)
                visit(child, inner, safe)

    visit(ast.parse(text), "", False)
    return sorted(set(found))


@pytest.mark.requirement("BOOK-4")
def test_foreign_code_is_called_by_the_gate_or_where_it_can_do_no_harm():
    places = {
        f"{module}.{owner}"
        for module, text in MODULES.items()
        if module not in AROUND
        for owner in calls_out(text)
        if owner not in BY_THE_GATE.get(module, set())
    }
    assert places == set(UNGUARDED)


@pytest.mark.requirement("BOOK-4")
def test_what_is_for_the_gate_is_called_by_the_gate_alone():
    names = OF_THE_GATE | {name.split(".")[-1] for functions in BY_THE_GATE.values() for name in functions}
    direct = [
        (module, owner, ast.unparse(node))
        for module, text in MODULES.items()
        if module not in AROUND
        for node, owner in owned_nodes(ast.parse(text))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in names
        and (isinstance(node.func, ast.Name) or ast.unparse(node.func).startswith("self."))
    ]
    # It asks a task by a guard of its own.
    assert {(module, owner) for module, owner, _ in direct} == {
        ("_following", "Following._task_ended"),
        ("_shields", "_Shielded._on_inner_done"),
    }
    assert all("failure_of" in call for _, _, call in direct)


@pytest.mark.parametrize(
    "breach",
    [
        "def f(self): self._task.cancel()",
        "def f(self):\n    try:\n        task.cancel()\n    except ValueError: pass",
        "def f(self):\n    try:\n        g()\n    except BaseException:\n        task.cancel()",
        "def f(self):\n    try:\n        g()\n    except BaseException: pass\n    else:\n        coro.close()",
        "def f(self): self._loop.call_soon(g)",
        "def f(self): cast('Any', coro).close()",
    ],
)
def test_every_unguarded_call_is_found(breach):
    assert calls_out(breach) == ["f"]


@pytest.mark.parametrize(
    "innocent",
    [
        "def f(self):\n    try:\n        task.cancel()\n    except BaseException: pass",
        "def f(self): call_out(loop, 'cancel', cancel, task)",
    ],
)
def test_a_guarded_call_is_no_finding(innocent):
    assert calls_out(innocent) == []


# Private names of asyncio.


def asyncio_names(modules):
    """Names that hold objects of asyncio: by their annotation, or by how the objects are made."""
    makers = {
        "create_future",
        "create_task",
        "ensure_future",
        "get_running_loop",
        "current_task",
        "call_later",
    }
    found = {"loop", "_loop"}
    for text in modules.values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.arg) and node.annotation and "asyncio." in ast.unparse(node.annotation):
                found.add(node.arg)
            elif isinstance(node, ast.AnnAssign) and "asyncio." in ast.unparse(node.annotation):
                found.add(_last(node.target))
            elif isinstance(node, ast.Assign) and _last(getattr(node.value, "func", None)) in makers:
                found.update(_last(target) for target in node.targets)
    return found


def _last(node):
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def private_uses(module, text, names):
    """Attributes with an underscore that are taken from asyncio itself or from one of its objects."""
    findings = [
        f"{module} imports {name}"
        for found in imports(text)
        for level, name in found
        if level == 0
        and name.startswith("asyncio.")
        and any(part.startswith("_") for part in name.split("."))
    ]
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.endswith("__"):
            continue
        root = ast.unparse(node.value)
        receiver = node.value
        while isinstance(receiver, ast.Call | ast.Subscript | ast.Await):
            receiver = receiver.func if isinstance(receiver, ast.Call) else receiver.value
        made = isinstance(node.value, ast.Call) and _last(receiver) in {
            "current_task",
            "get_running_loop",
            "create_task",
            "create_future",
        }
        if root.split(".")[0].split("(")[0] == "asyncio" or _last(receiver) in names or made:
            findings.append(f"{module}:{node.lineno} takes {root}.{node.attr}")
    return findings


NAMES = asyncio_names(MODULES)


def test_the_names_of_asyncio_objects_are_known():
    assert {"loop", "_loop", "task", "waiter", "place", "inner", "outer", "_deadline"} <= NAMES
    assert not {"self", "job", "scheduler"} & NAMES


@pytest.mark.parametrize("module", MODULES)
def test_the_runtime_uses_no_private_name_of_asyncio(module):
    assert private_uses(module, MODULES[module], NAMES) == []


@pytest.mark.parametrize(
    "breach",
    [
        "asyncio._get_running_loop()",
        "asyncio.tasks._current_tasks",
        "from asyncio import _set_running_loop",
        "from asyncio.tasks import _PyTask",
        "import asyncio._private",
        "job.task._fut_waiter",
        "self._loop._ready",
        "loop._scheduled",
        "task._must_cancel = True",
        "asyncio.current_task()._coro",
        "loop.create_future()._callbacks",
        "waiter._callbacks",
    ],
)
def test_every_private_use_is_found(breach):
    assert private_uses("_core", breach, NAMES)


@pytest.mark.parametrize(
    "innocent", ["self._outcome", "job._expire", "scheduler._own", "task.__class__", "asyncio.run"]
)
def test_names_of_our_own_are_no_finding(innocent):
    assert private_uses("_core", innocent, NAMES) == []


# What is written about the source.

PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if path.name != "traceability.md"]
_IDENTIFIER = re.compile(r"\b[A-Za-z_]\w*\b")


def strangers(text, known):
    """Names with a leading underscore that a text has in backticks and nothing known bears."""
    quoted = re.findall(r"``?(_[a-z]\w*)(?:\.py|\(\))?``?", text)
    return sorted(set(quoted) - known)


def prose(text):
    """The docstrings and comments of a module."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    return "\n".join([*(ast.get_docstring(node) or "" for node in nodes), *re.findall(r"#.*", text)])


def known_names():
    """Every identifier of the library's code, and the names of its modules."""
    code = [ast.unparse(_without_docstrings(ast.parse(text))) for text in MODULES.values()]
    return set(MODULES) | {name for text in code for name in _IDENTIFIER.findall(text)}


def _without_docstrings(tree):
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _is_text(each)] or [ast.Pass()]
    return tree


def _is_text(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@pytest.mark.parametrize("module", MODULES)
def test_what_a_docstring_or_comment_names_exists(module):
    assert strangers(prose(MODULES[module]), known_names()) == []


def test_what_a_page_names_exists():
    of_upstream = {"_jobs", "_pending"}  # attributes of aiojobs 1.4
    known = known_names() | of_upstream
    found = {page.name: strangers(page.read_text(encoding="utf-8"), known) for page in PAGES}
    assert {name: names for name, names in found.items() if names} == {}


def elsewhere(text, modules):
    """Modules that a text says to have what is deliberately not in its own, and that are not there."""
    named = re.findall(r"Deliberately not here:(.*?)(?:\n\n|\"\"\"|\Z)", text, re.DOTALL)
    return sorted({name for said in named for name in re.findall(r"`([a-z_]+)`", said)} - modules)


SOURCES = sorted([*SOURCE.rglob("*.py"), *(ROOT / "verification/src").rglob("*.py")])


def test_where_something_is_said_to_be_there_is_a_module():
    modules = {path.stem for path in SOURCES} | {path.parent.name for path in SOURCES} | {"assert"}
    found = {path.stem: elsewhere(path.read_text(encoding="utf-8"), modules) for path in SOURCES}
    assert {stem: names for stem, names in found.items() if names} == {}


def test_a_module_that_is_gone_is_found():
    text = '"""A walk.\n\nDeliberately not here: what is right (`oracle`), what happens\n(`driver`).\n\n`told`\n"""'
    assert elsewhere(text, {"oracle"}) == ["driver"]


def test_a_name_that_is_gone_is_found():
    known = known_names()
    assert strangers("see ``_engine`` and `_machine.py`, but `_core` exists", known) == [
        "_engine",
        "_machine",
    ]
    assert "_engine" in prose('"""See ``_engine``."""\nx = 1  # and ``_gone``')
