"""The documentation is true: its examples run, its links lead somewhere, its ids and signatures are real.

What the pages say about aiojobs 1.4 is checked in test_differences.py.
"""

import gc
import inspect
import os
import re
import typing
from pathlib import PurePosixPath
from weakref import WeakValueDictionary

import pytest

import aiojobs
import aiojobs.aiohttp
import aiojobs.asgi
import aiojobs.batch
import aiojobs.elsewhere
import aiojobs.fastapi
import aiojobs.inspect
import aiojobs.loops
import aiojobs.opentelemetry
import aiojobs.prometheus
import aiojobs.signals
import aiojobs.starlette
from aiojobs._job_state import FOR_THE_OWNER
from aiojobs.testing import VirtualLoop
from aiojobs_verification.evidence.chain import STEPS
from aiojobs_verification.specification.requirements import read_assumptions, read_requirements
from docs import pages

PAGES = pages.names()
API = "docs/reference/api.md"
# Integrations that have a page of their own.
APART = dict.fromkeys(("aiojobs.asgi", "aiojobs.starlette", "aiojobs.fastapi"), "docs/reference/asgi.md")
APART |= dict.fromkeys(("aiojobs.batch", "aiojobs.elsewhere", "aiojobs.loops"), "docs/reference/patterns.md")
REQUIREMENTS = read_requirements(pages.ROOT / "spec/requirements.toml").by_id
ASSUMPTIONS = read_assumptions(pages.ROOT / "spec/assumptions.toml")

# --- Examples -----------------------------------------------------------------------------------------------

EXAMPLES = [example for page in PAGES for example in pages.examples(page)]


class Loops:
    """Makes virtual loops, and knows afterwards what was complained about on them."""

    def __init__(self):
        self.made = []

    def __call__(self):
        self.made.append(VirtualLoop())
        return self.made[-1]

    @property
    def complaints(self):
        return [complaint for loop in self.made for complaint in loop.complaints]

    @property
    def seconds(self):
        return sum(loop.time() for loop in self.made)


@pytest.fixture
def _no_other_schedulers(monkeypatch):
    """As in a process of its own."""
    alive = WeakValueDictionary()
    monkeypatch.setattr("aiojobs._scheduler.ALIVE", alive)
    monkeypatch.setattr("aiojobs.inspect.ALIVE", alive)


@pytest.mark.usefixtures("_no_other_schedulers")
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_runs_and_prints_what_the_page_says(example, tmp_path):
    loops = Loops()
    printed = pages.run(example, loops, tmp_path)
    gc.collect()
    assert loops.complaints == []
    if not example.says(printed):
        assert printed == example.output
    slow = (example.program or example).slow
    assert (loops.seconds > pages.LONG) == slow, f"takes {loops.seconds} s, and is called slow: {slow}"


PROGRAMS = [example for example in EXAMPLES if example.program is None]


@pytest.fixture(scope="module")
def on_a_real_clock(request, tmp_path_factory):
    """What each program that this run asks for prints when a reader runs it."""
    asked_for = [
        item.callspec.params["example"]
        for item in request.session.items
        if "on_a_real_clock" in getattr(item, "fixturenames", ())
    ]
    return pages.run_on_a_real_clock(asked_for, tmp_path_factory.mktemp("real"))


@pytest.mark.real_time
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a program is a fork, and this system has none")
@pytest.mark.parametrize(
    "example", [pytest.param(one, marks=[pytest.mark.slow] * one.slow, id=str(one)) for one in PROGRAMS]
)
def test_a_program_prints_the_same_when_time_is_real(example, on_a_real_clock, tmp_path):
    # Time is real because that is the point. The programs leave at least a sixth of a second between two
    # events whose order shows, and half a second where they print a time. On a machine that is busy with
    # something else this may not be enough: so what differs gets two more chances, by itself.
    printed = on_a_real_clock[example]
    for _ in range(2):
        if not example.says(printed):
            printed = pages.run_by_itself(example, tmp_path)
    assert example.says(printed), printed


def test_every_page_that_teaches_has_examples():
    teaching = {page for page in PAGES if "/howto/" in page or page in {"README.md", "docs/tutorial.md"}}
    elsewhere = {page for page in PAGES if pages.files(page) or pages.quotes(page)}
    assert teaching - {example.page for example in EXAMPLES} - elsewhere == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_python_is_run_here_or_by_a_test_that_it_names(page):
    programs = [example for example in pages.examples(page) if example.program is None]
    assert len(programs) + len(pages.files(page)) + len(pages.quotes(page)) == pages.python_blocks(page)
    for file in pages.files(page):
        test = (pages.ROOT / file.test).read_text(encoding="utf-8")
        assert f'"{page}"' in test, f"{file}: {file.test} does not name the page"
        assert f'"{file.name}"' in test, f"{file}: {file.test} does not name {file.name}"


@pytest.mark.parametrize("page", PAGES)
def test_an_output_belongs_to_an_example(page):
    assert pages.orphans(page) == 0


# What blocks of text are: drawings, or what something prints, and the tests that compare it.
DRAWING = None
TEXTS = {
    ("docs/explanation/architecture.md", "spec/job.toml, spec/scheduler.toml"): DRAWING,
    ("docs/explanation/two-builds.md", "aiojobs: the pure build"): "tests/packaging/test_two_builds.py",
    ("docs/howto/adaptive-limit.md", "room for 20, limit  8"): "tests/docs/test_recipes.py",
    ("docs/howto/call-from-threads.md", "accepted reading 20"): "tests/docs/test_recipes.py",
    ("docs/howto/durable-work.md", "order 1: attempt 1"): "tests/compat/test_procrastinate.py",
    ("docs/howto/fastapi-and-starlette.md", "SIGTERM "): DRAWING,
    ("docs/howto/govern-a-dask-cluster.md", "at most 2 pieces"): "tests/compat/dask_cluster/test_page.py",
    ("docs/howto/logging.md", "ERROR asyncio: Job processing failed"): "tests/exporters/test_pages.py",
    ("docs/howto/logging.md", '{"order": 1, "event": "sending"'): "tests/compat/pages/test_logging.py",
    ("docs/howto/metrics.md", "aiojobs_jobs_total"): "tests/exporters/test_pages.py",
    ("docs/howto/observe-and-trace.md", "└── (T) Task-1"): "tests/unit/test_callgraph.py",
    ("docs/howto/periodic-and-keyed-work.md", "report 1 begins"): "tests/compat/pages/test_timetables.py",
    ("docs/howto/see-inside.md", "scheduler 1: open"): "tests/seeing/test_dump.py",
    ("docs/howto/shut-down-on-signals.md", "SIGTERM "): DRAWING,
    ("docs/howto/trace-with-opentelemetry.md", "5cab277f59e41b3d under -"): "tests/exporters/test_pages.py",
    ("docs/howto/trace-with-opentelemetry.md", "aiojobs.job.wait"): "tests/exporters/test_pages.py",
}


def test_every_block_of_text_is_a_drawing_or_compared_by_a_test():
    texts = [(page, block) for page in PAGES for block in pages.texts(page)]
    unknown = [
        text
        for text in texts
        if not any(text[0] == page and text[1].startswith(begin) for page, begin in TEXTS)
    ]
    assert unknown == []
    assert len(texts) == len(TEXTS)
    for (page, _), test in TEXTS.items():
        assert test is DRAWING or f'"{page}"' in (pages.ROOT / test).read_text(encoding="utf-8"), test


def test_the_example_of_the_readme_is_the_quickstart_without_its_docstring():
    marked = pages.text("README.md").split("<!-- example -->\n", 1)[1]
    example = pages.examples("README.md")[0].source
    assert marked.startswith(f"```python\n{example}```")
    quickstart = (pages.ROOT / "examples/quickstart.py").read_text(encoding="utf-8")
    assert quickstart.split('"""\n', 1)[1].lstrip("\n") == example


# --- Links, ids, commands -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    lost = [target for target in pages.links(page) if not _exists(page, target)]
    assert lost == []


def _exists(page, target):
    file, _, anchor = target.partition("#")
    place = (pages.ROOT / PurePosixPath(page).parent / file).resolve() if file else pages.ROOT / page
    if not place.exists():
        return False
    return not anchor or anchor in pages.anchors(place.relative_to(pages.ROOT).as_posix())


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "tests/README.md", "spec/README.md"])
def test_every_link_of_a_page_beside_the_documentation_leads_somewhere(page):
    assert [target for target in pages.links(page) if not _exists(page, target)] == []


def test_every_page_is_reached_from_the_index():
    reached, new = set(), {"docs/index.md"}
    while new:
        reached |= new
        files = {(page, target.partition("#")[0]) for page in new for target in pages.links(page)}
        places = {(pages.ROOT / PurePosixPath(page).parent / file).resolve() for page, file in files if file}
        new = {place.relative_to(pages.ROOT).as_posix() for place in places} & set(PAGES) - reached
    assert set(PAGES) - reached <= {"README.md"}


_ID = re.compile(r"\b[A-Z]+-[1-9][0-9]*\b")


@pytest.mark.parametrize("page", PAGES)
def test_every_requirement_that_is_mentioned_exists(page):
    assert set(_ID.findall(pages.text(page))) <= set(REQUIREMENTS)


def test_every_requirement_is_explained_and_guaranteed():
    explained = pages.text("docs/reference/requirements.md")
    assert [name for name in REQUIREMENTS if f"- `{name}` " not in explained] == []
    guaranteed = set(_ID.findall(pages.section("README.md", "## Guarantees")))
    assert guaranteed == set(REQUIREMENTS)


def test_every_assumption_is_explained_and_every_one_that_is_mentioned_exists():
    explained = pages.text("docs/assumptions.md")
    assert [name for name in ASSUMPTIONS if f"- `{name}` " not in explained] == []
    mentioned = [re.findall(r"assumption `([A-Z-]+)`", pages.text(page)) for page in PAGES]
    assert {name for names in mentioned for name in names} <= set(ASSUMPTIONS)


def test_every_make_target_and_option_that_is_mentioned_exists():
    makefile = (pages.ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    mentioned = {name for page in PAGES for name in re.findall(r"\bmake ([a-z-]+)", _code(page))}
    assert {"verify", "test", "demo", "help"} <= mentioned <= targets


def test_every_page_installs_this_one_and_nobody_gets_the_other_by_its_name():
    commands = [line for page in PAGES for line in re.findall(r"pip install (.*)", _code(page))]
    wheel = f"dist/aiojobs-{aiojobs.__version__}-py3-none-any.whl"
    ours = [line for line in commands if line.startswith((".", "'.[", f"'{wheel}["))]
    assert f"'{wheel}[aiohttp]'" in ours
    others = [line for line in commands if line not in ours and "aiojobs==1.4.0" not in line]
    assert [line for line in others if "aiojobs" in line] == []


def test_the_reference_names_each_of_its_files_and_every_command_that_repeats_a_check():
    text = pages.text("spec/README.md")
    spec = pages.ROOT / "spec"
    files = [path.name for path in spec.glob("*.toml")]
    files += [path.relative_to(spec).as_posix() for path in spec.glob("*/README.md")]
    assert [name for name in files if f"| `{name}` " not in text] == []
    commands = {step.command[3] for step in STEPS if step.command[1:3] == ("-m", "aiojobs_verification")}
    assert [
        name for name in sorted(commands) if f"| `python -m aiojobs_verification {name}" not in text
    ] == []


def test_every_folder_of_the_tests_says_what_it_is_for():
    said = set(re.findall(r"^\| `(\w+)/` \|", pages.text("tests/README.md"), re.MULTILINE))
    there = {path.parent for path in (pages.ROOT / "tests").rglob("*.py")}
    assert said == {path.relative_to(pages.ROOT / "tests").parts[0] for path in there if path.name != "tests"}


def _code(page):
    """What stands in code spans and in blocks."""
    return "\n".join(re.findall(r"`[^`\n]+`|^```sh\n.*?^```", pages.text(page), re.MULTILINE | re.DOTALL))


def test_every_module_of_the_library_is_explained_and_every_one_that_is_mentioned_exists():
    table = pages.section("docs/explanation/architecture.md", "## One direction")
    explained = set(re.findall(r"^\| \d+ \| `(_[a-z]\w*)` \|", table, re.MULTILINE))
    there = {path.stem for path in (pages.ROOT / "src/aiojobs").glob("_*.py")} - {"__init__"}
    assert explained == there


# --- The reference ------------------------------------------------------------------------------------------


def _members(cls):
    """The public methods and properties of a class, those that it inherits from private ones included."""
    own = [base for base in reversed(cls.__mro__) if base.__module__.startswith("aiojobs.")]
    found = {name: value for base in own for name, value in vars(base).items() if not name.startswith("_")}
    return {
        name: value for name, value in found.items() if cls is not aiojobs.Job or name not in FOR_THE_OWNER
    }


EXPORTERS = (aiojobs.opentelemetry.Metrics, aiojobs.opentelemetry.Tracing, aiojobs.prometheus.Metrics)
# The classes whose members have sections, and the modules whose names do: less those classes, and what is explained
# elsewhere.
CLASSES = (
    aiojobs.Scheduler,
    aiojobs.Job,
    aiojobs.asgi.Jobs,
    aiojobs.batch.Results,
    aiojobs.inspect.LivePage,
    aiojobs.signals.Stop,
    *EXPORTERS,
)
MODULES = {
    aiojobs.aiohttp: (),
    aiojobs.asgi: ("Jobs",),
    aiojobs.batch: ("Results",),
    aiojobs.elsewhere: (),
    aiojobs.fastapi: aiojobs.starlette.__all__,
    aiojobs.inspect: ("LivePage",),
    aiojobs.loops: (),
    aiojobs.signals: ("Stop",),
    aiojobs.starlette: aiojobs.asgi.__all__,
}
# Where a class is found, if that is not where it is defined.
PUBLIC_MODULES = {"aiojobs._scheduler": "", "aiojobs._job": "", "aiojobs._live_page": "aiojobs.inspect."}


def _documented():
    """Every public callable by its name in the reference, with its heading's name."""
    for cls in CLASSES:
        module = PUBLIC_MODULES.get(cls.__module__, f"{cls.__module__}.")
        for name, value in _members(cls).items():
            yield f"{module}{cls.__name__}.{name}", value
    yield "create_scheduler", aiojobs.create_scheduler
    for module, elsewhere in MODULES.items():
        for name in sorted({*module.__all__} - {*elsewhere}):
            yield f"{module.__name__}.{name}", getattr(module, name)


DOCUMENTED = dict(_documented())


def test_what_of_a_job_is_for_its_owner_alone_is_there_and_the_reference_says_so():
    assert set(dir(aiojobs.Job)) >= set(FOR_THE_OWNER)
    assert not set(FOR_THE_OWNER) & {name.removeprefix("Job.") for name in DOCUMENTED}
    section = pages.section(API, "## Job")
    assert all(f"`{name}`" in section for name in FOR_THE_OWNER)


def _heading(name, value):
    """The heading that a public name has in the reference, its signature included."""
    if not inspect.isfunction(value):
        return f"### `{name}`"
    parameters = inspect.signature(value).parameters.values()
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in parameters if p.name != "self"]
    wait = "await " if inspect.iscoroutinefunction(value) else ""
    return f"### `{wait}{name}{inspect.Signature(plain)}`"


def _section(name, value):
    """What the reference says of a public name."""
    return pages.section(APART.get(".".join(name.split(".")[:2]), API), _heading(name, value))


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_a_public_name_has_its_section_with_its_real_signature(name):
    value = DOCUMENTED[name]
    section = _section(name, value)
    unexplained = [p for p in _parameters(value) if section.count(f"`{p}`") == 0]
    assert [p for p in unexplained if f"`{p}(" not in section] == []


def _parameters(value):
    if not inspect.isfunction(value):
        return []
    return [name for name in inspect.signature(value).parameters if name not in {"self", "kwargs"}]


@pytest.mark.parametrize(
    ("page", "name", "cls"),
    [(API, "Scheduler", aiojobs.Scheduler), (APART["aiojobs.asgi"], "aiojobs.asgi.Jobs", aiojobs.asgi.Jobs)],
)
def test_a_constructor_has_its_section_with_its_real_signature(page, name, cls):
    parameters = inspect.signature(cls).parameters.values()
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
    section = pages.section(page, f"### `{name}{inspect.Signature(plain)}`")
    assert [p.name for p in parameters if f"| `{p.name}` |" not in section] == []


@pytest.mark.parametrize("cls", EXPORTERS, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_the_constructor_of_an_exporter_has_its_section_with_its_arguments(cls):
    name = f"`{cls.__module__}.{cls.__name__}("
    (heading,) = [text for _, text in pages.headings(API) if text.startswith(name)]
    section = pages.section(API, f"### {heading}")
    arguments = [name for name in inspect.signature(cls).parameters if f"| `{name}` |" not in section]
    assert arguments == []
    assert re.findall(r"(\w+)=", heading) == list(inspect.signature(cls).parameters)
    assert [error for error in _raised(inspect.getdoc(cls)) if error not in section] == []


@pytest.mark.parametrize("name", aiojobs.__all__)
def test_a_name_of_the_package_has_a_heading_and_a_line_in_the_overview(name):
    headings = [heading.strip("`").removeprefix("await ") for _, heading in pages.headings(API)]
    assert name in {heading.partition("(")[0] for heading in headings}
    overview = pages.text(API).partition("\n## ")[0]
    assert f"[`{name}`](#{name.lower()})" in overview


@pytest.mark.parametrize("name", ["State", "Event", "Outcome", "Phase", "PhaseEvent"])
def test_every_member_of_an_enum_is_named(name):
    section = pages.section(API, f"### `{name}`")
    assert [member.name for member in getattr(aiojobs, name) if f"`{member.name}`" not in section] == []


def test_every_field_of_a_record_and_key_of_a_context_is_explained():
    record = pages.section(API, "### `Record`")
    assert re.findall(r"^\| `(\w+)` \|", record, re.MULTILINE) == list(aiojobs.Record._fields)
    context = pages.section(API, "### `ExceptionContext`")
    keys = set(typing.get_type_hints(aiojobs.ExceptionContext, localns=vars(aiojobs)).keys())
    assert set(re.findall(r"^\| `(\w+)` \|", context, re.MULTILINE)) == keys


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_a_section_says_what_the_docstring_says_about_promises_and_errors(name):
    value = DOCUMENTED[name]
    described = inspect.isfunction(value) or inspect.isclass(value) or isinstance(value, property)
    doc = inspect.getdoc(value) if described else ""
    assert doc or not described
    section = _section(name, value)
    assert [found for found in _ID.findall(doc) if f"`{found}`" not in section] == []
    assert [error for error in _raised(doc) if error not in section] == []


def _raised(doc):
    """The exceptions that a docstring lists, apart from what comes out of the user's own coroutine."""
    _, _, raises = doc.partition("Raises:\n")
    names = re.findall(r"^ {4}([\w., ]+):", raises, re.MULTILINE)
    return {name.strip() for line in names for name in line.split(",")} - {"BaseException"}
