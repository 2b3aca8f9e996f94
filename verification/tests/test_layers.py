"""The packages of the verification import lower ones only, and no modules import each other in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

import aiojobs_verification

NAME = aiojobs_verification.__name__
ROOT = Path(aiojobs_verification.__file__).parent

MAY_IMPORT = {
    "specification": set(),
    "evidence": set(),
    "codegen": {"specification"},
    "smt": {"specification"},
    "symbolic": {"specification"},
    "model_checking": {"specification", "codegen"},
    "follower": {"specification"},
    "simulation": {"specification", "follower", "model_checking"},
    "trace_audit": {"specification", "follower"},
    "fault_injection": {
        "specification", "codegen", "smt", "symbolic", "model_checking", "simulation", "trace_audit"
    },
}  # fmt: skip
"""Package -> what it may import beside itself; `cli` may import all of them, and nothing imports `cli`."""

EXCUSED = {"simulation"}
"""Packages in which circles are put up with, until they are undone."""


def modules(root=ROOT):
    for path in sorted(root.rglob("*.py")):
        parts = (NAME, *path.relative_to(root).with_suffix("").parts)
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(name, path):
    """The modules that a file imports anywhere, for its types too."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def layer(module):
    return module.split(".")[1] if module.startswith(f"{NAME}.") else ""


def strays(root=ROOT):
    """Who imports what they may not."""
    for name, path in modules(root):
        own = layer(name)
        for target in imported(name, path):
            other = layer(target)
            if other and own not in {other, "cli", "", "__main__"} and other not in MAY_IMPORT[own]:
                yield f"{name} imports {target}"


def circles(root=ROOT, excused=EXCUSED):
    """Modules that import each other; imports for types count."""
    known = {name: path for name, path in modules(root) if layer(name) not in excused}
    graph = {}
    for name, path in known.items():
        targets = set(imported(name, path)) & set(known) - {name}
        # `from package import module` is no import of what else is in the package's own file.
        graph[name] = {one for one in targets if known[one].name != "__init__.py" or not name.startswith(one)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_package_has_its_layer():
    found = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    assert found - {"cli"} <= set(MAY_IMPORT)


def test_packages_import_lower_ones_only():
    assert sorted(strays()) == []


def test_no_modules_import_each_other_in_a_circle():
    assert circles() == []


@pytest.fixture
def planted(tmp_path):
    """Two files, of which one reaches up and both reach for each other."""
    for file, text in {
        "smt/questions.py": f"from {NAME}.cli import prove\nfrom . import solver\n",
        "smt/solver.py": f"def ask():\n    from {NAME}.smt.questions import Questions\n",
        "cli/prove.py": f"from {NAME} import smt\n",
        "smt/__init__.py": "",
        "cli/__init__.py": "",
    }.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    return tmp_path


def test_an_import_of_something_higher_is_named(planted):
    assert sorted(set(strays(planted))) == [
        f"{NAME}.smt.questions imports {NAME}.cli",
        f"{NAME}.smt.questions imports {NAME}.cli.prove",
    ]


def test_a_circle_is_named(planted):
    assert set(circles(planted)) == {f"{NAME}.smt.questions", f"{NAME}.smt.solver"}
    assert circles(planted, excused={"smt"}) == []
