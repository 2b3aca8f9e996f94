"""The second build of the library: its synchronous core as machine code, made from the same text.

Rules of this file
    A module is compiled if declarations stand beside it: ``_core.pxd`` beside ``_core.py``. All of them are, or
    none: a build that fails half-way is a pure one.

    A wheel can always be had. Without a compiler, and where compiling fails, it is the pure one, and a line says
    why (``pip install -v`` shows it). ``AIOJOBS_PURE=1`` asks for the pure one; ``AIOJOBS_COMPILED=1`` demands the
    compiled one, and then what stands in its way is an error. An editable install is always pure: a change of the
    text takes effect without a build.

    Nothing is written into the source tree. The wheel has the text of the compiled modules too, for tracebacks.

As a program it makes a folder that stands before ``src`` on the path, and runs a command there::

    python hatch_compile.py build/compiled-3.11 python -m pytest tests/unit

What has not changed since the last time is not compiled again. It ends with 77 where nothing can be compiled, and with
1 where compiling fails; otherwise as the command does.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from contextlib import chdir
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT: Final = Path(__file__).resolve().parent
PACKAGE: Final = "aiojobs"
SUFFIX: Final = str(sysconfig.get_config_var("EXT_SUFFIX"))
DIRECTIVES: Final = {"language_level": "3", "annotation_typing": False}
"""For Cython: what annotations say is for readers and type checkers; declarations stand in the ``.pxd`` files."""
NOT_HERE: Final = 77
_ARGUMENTS: Final = [] if os.name == "nt" else ["-g0"]  # symbols for a debugger: nine tenths of the wheel


class CompiledCore(BuildHookInterface):  # type: ignore[type-arg]
    """What hatchling asks while it builds a wheel."""

    _folder: TemporaryDirectory[str] | None = None

    def dependencies(self) -> list[str]:
        """What compiling takes; nothing where nothing is compiled."""
        return [] if obstacle() else requirements()

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the compiled modules into the wheel, or say why it has none."""
        why = "an editable install is" if version == "editable" else obstacle() or self._compile(build_data)
        if why and _asked("AIOJOBS_COMPILED"):
            raise RuntimeError(f"AIOJOBS_COMPILED asks for the compiled build of aiojobs, but: {why}")
        self.app.display_info(f"aiojobs: the pure build: {why}" if why else "aiojobs: the compiled build")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what the wheel has been made from."""
        if self._folder is not None:
            self._folder.cleanup()

    def _compile(self, build_data: dict[str, Any]) -> str:
        """Why it can't be compiled after all; empty if it was."""
        self._folder = TemporaryDirectory(prefix="aiojobs-")
        folder = Path(self._folder.name)
        try:
            copy_package(folder)
            compile_modules(core(), folder)
        except Exception as error:  # whatever the compiler does, there is a wheel
            return f"compiling failed: {error!r}"
        files = [f"{PACKAGE}/{module}{SUFFIX}" for module in core()]
        build_data["force_include"] |= {str(folder / file): file for file in files}
        build_data |= {"pure_python": False, "infer_tag": True}
        return ""


def core() -> list[str]:
    """The names of the modules that are compiled."""
    return sorted(path.stem for path in (ROOT / "src" / PACKAGE).glob("*.pxd"))


def requirements() -> list[str]:
    """What compiling takes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return list(project["dependency-groups"]["compile"])


def obstacle() -> str:
    """Why the core is not, or can't be, compiled here; empty if it can be tried."""
    if _asked("AIOJOBS_PURE"):
        return "AIOJOBS_PURE asks for it"
    if platform.python_implementation() != "CPython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "the core is compiled for CPython with a global interpreter lock"
    if _asked("AIOJOBS_COMPILED") or os.name == "nt":  # there, setuptools knows where compilers are
        return ""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler: {compiler}"
    header = Path(sysconfig.get_path("include"), "Python.h")
    return "" if header.is_file() else f"Python's headers are not installed: {header}"


def copy_package(folder: Path) -> None:
    """Make the package in `folder` the one of the source tree, but for what is compiled there."""
    source, target = ROOT / "src" / PACKAGE, folder / PACKAGE
    wanted = {path.relative_to(source) for path in _files(source)}
    for path in {path.relative_to(target) for path in _files(target)} - wanted:
        if path.suffix not in {".so", ".pyd"}:
            (target / path).unlink()
    for path in wanted:
        text = (source / path).read_bytes()
        if not (target / path).is_file() or (target / path).read_bytes() != text:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(text)


def compile_modules(modules: Iterable[str], folder: Path) -> None:
    """Compile these modules of the package in `folder`, each to a file beside its text.

    Raises:
        Exception: what Cython or the compiler says.
    """
    from Cython.Build import cythonize  # noqa: PLC0415 - needed only where something is compiled
    from setuptools import Distribution, Extension  # noqa: PLC0415

    # From above the package: in tracebacks a file is named as it is found on the path.
    with chdir(folder):
        extensions = [
            Extension(f"{PACKAGE}.{module}", [f"{PACKAGE}/{module}.py"], extra_compile_args=_ARGUMENTS)
            for module in modules
        ]
        made = cythonize(
            extensions, build_dir="generated", compiler_directives=DIRECTIVES, force=True, quiet=True
        )
        command = Distribution({"ext_modules": made}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = ".", "generated"
        command.parallel = len(made) or None
        command.ensure_finalized()
        command.run()


def make_tree(folder: Path) -> None:
    """Make `folder` hold the package as it is now, compiled.

    Raises:
        Exception: what Cython or the compiler says.
    """
    copy_package(folder)
    (folder / "keys").mkdir(exist_ok=True)
    keys = {module: _key(module) for module in core()}
    for left in (folder / PACKAGE).glob(f"*{SUFFIX}"):
        if left.name.removesuffix(SUFFIX) not in keys:
            left.unlink()
    stale = [module for module, key in keys.items() if _read(folder / "keys" / module) != key]
    for module in stale:
        (folder / "keys" / module).unlink(missing_ok=True)
    if stale:
        sys.stderr.write(f"==> Compiling {', '.join(stale)} into {folder.name}\n")
        compile_modules(stale, folder)
    for module in stale:
        (folder / "keys" / module).write_text(keys[module], encoding="ascii")


def _key(module: str) -> str:
    """Of everything that the compiled module depends on."""
    package = ROOT / "src" / PACKAGE
    read = [package / f"{module}.py", *sorted(package.glob("*.pxd")), Path(__file__)]
    made_by = f"{sys.version} {SUFFIX} {installed('cython')} {os.environ.get('CFLAGS')}"
    return hashlib.sha256(b"\0".join([made_by.encode(), *(path.read_bytes() for path in read)])).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """The files of a package, without those that Python has made of them."""
    yield from (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii") if path.is_file() else ""


def _asked(name: str) -> bool:
    return os.environ.get(name, "") not in {"", "0"}


def main(arguments: list[str]) -> int:
    """Make a folder with the compiled build, and become the command, if there is one."""
    folder, *command = arguments
    path = Path(folder).resolve()
    why = obstacle() or (importlib.util.find_spec("Cython") is None and "Cython is not installed")
    if why:
        print(f"aiojobs can't be compiled here: {why}")
        return NOT_HERE
    path.mkdir(parents=True, exist_ok=True)
    make_tree(path)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH")]))
    asked = [sys.executable, "-c", "import aiojobs; print(aiojobs.__build__)"]
    build = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if build != "compiled":
        raise SystemExit(f"aiojobs in {path} is the {build} build")
    if command:
        os.execvp(command[0], command)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
