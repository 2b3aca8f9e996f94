"""The second build of the library: its synchronous core as machine code, made from the same text.

Rules of this file
    A module is compiled if declarations stand beside it: ``_core.pxd`` beside ``_core.py``. Its text is the same in
    both builds, unless a ``.pyx`` stands there too. All of them are compiled, or none: a build that fails half-way
    is a pure one.

    A wheel can always be had. Without a compiler, and where compiling fails, it is the pure one, and a line says
    why (``pip install -v`` shows it). ``AIOJOBS_PURE=1`` asks for the pure one; ``AIOJOBS_COMPILED=1`` demands the
    compiled one, and then what stands in its way is an error. An editable install is always pure: a change of the
    text takes effect without a build.

    Nothing is written into the source tree. The wheel has the text of the compiled modules too, for tracebacks.

As a program it makes the compiled build in ``build/compiled-3.11``, puts that folder before ``src`` on the path, and
runs a command there, if it is given one::

    python hatch_compile.py python -m pytest tests/unit

What has not changed since the last time is not compiled again. It ends with 77 where nothing can be compiled, and with
1 where compiling fails; otherwise as the command does.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from contextlib import chdir, contextmanager
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
DIRECTIVES: Final = {"language_level": "3", "annotation_typing": False, "binding": True, "nonecheck": True}
"""For Cython: what annotations say is for readers and type checkers; declarations stand in the ``.pxd`` files. None
in the place of an object of the core is an error and no crash.
"""
TREE: Final = ROOT / "build" / f"compiled-{sys.version_info.major}.{sys.version_info.minor}"
NOT_HERE: Final = 77
_KEYS: Final = "compiled.json"
# No symbols for a debugger, which were nine tenths of the wheel. Cython can take a method for a value of another type,
# and only the C compiler notices.
_ARGUMENTS: Final = [] if os.name == "nt" else ["-g0", "-Werror=incompatible-pointer-types"]


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

    def finalize(self, *_: object) -> None:
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
        except Exception as error:  # noqa: BLE001 - whatever the compiler does, there is a wheel
            return f"compiling failed: {error!r}"
        files = [f"{PACKAGE}/{module}{SUFFIX}" for module in core()]
        files += [file for file in map(text_of, core()) if not file.endswith(".py")]
        build_data["force_include"] |= {str(folder / file): file for file in files}
        build_data |= {"pure_python": False, "infer_tag": True}
        return ""


def core() -> list[str]:
    """The names of the modules that are compiled."""
    return sorted(path.stem for path in (ROOT / "src" / PACKAGE).glob("*.pxd"))


def text_of(module: str) -> str:
    """The file that a module is compiled from, from above the package."""
    other = f"{PACKAGE}/{module}.pyx"
    return other if (ROOT / "src" / other).is_file() else f"{PACKAGE}/{module}.py"


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
            Extension(f"{PACKAGE}.{module}", [text_of(module)], extra_compile_args=_ARGUMENTS)
            for module in modules
        ]
        made = cythonize(  # type: ignore[no-untyped-call]
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
    keys = {module: _key(module) for module in core()}
    noted = _noted(folder)
    for module in noted.keys() - keys.keys():
        (folder / PACKAGE / f"{module}{SUFFIX}").unlink(missing_ok=True)
    stale = [module for module, key in keys.items() if noted.get(module) != key]
    (folder / _KEYS).write_text(json.dumps({module: keys[module] for module in keys if module not in stale}))
    if stale:
        sys.stderr.write(f"==> Compiling {', '.join(stale)} into {folder.relative_to(ROOT)}\n")
        compile_modules(stale, folder)
    (folder / _KEYS).write_text(json.dumps(keys))


def _noted(folder: Path) -> dict[str, str]:
    """What was compiled there before, each with its key."""
    noted: dict[str, str] = json.loads((folder / _KEYS).read_text()) if (folder / _KEYS).is_file() else {}
    return {
        module: key for module, key in noted.items() if (folder / PACKAGE / f"{module}{SUFFIX}").is_file()
    }


def _key(module: str) -> str:
    """Of everything that the compiled module depends on."""
    package = ROOT / "src" / PACKAGE
    read = [ROOT / "src" / text_of(module), *sorted(package.glob("*.pxd")), Path(__file__)]
    made_by = f"{sys.version} {SUFFIX} {installed('cython')} {os.environ.get('CFLAGS')}"
    return hashlib.sha256(b"\0".join([made_by.encode(), *(path.read_bytes() for path in read)])).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """The files of a package, without those that Python has made of them."""
    yield from (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _asked(name: str) -> bool:
    return os.environ.get(name, "") not in {"", "0"}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two that run side by side don't compile into the same folder at once."""
    import fcntl  # noqa: PLC0415 - not on Windows, where only wheels are built

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(command: list[str]) -> int:
    """Make the compiled build, and become the command, if there is one."""
    why = obstacle() or ("" if importlib.util.find_spec("Cython") else "Cython is not installed")
    if why:
        sys.stderr.write(f"the core can't be compiled here: {why}\n")
        return NOT_HERE
    with _alone(TREE):
        make_tree(TREE)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TREE), os.environ.get("PYTHONPATH")]))
    asked = [sys.executable, "-c", "import aiojobs; print(aiojobs.__build__)"]
    build = subprocess.run(  # noqa: S603
        asked, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    if build != "compiled":
        raise SystemExit(f"In {TREE} is the {build} build")
    if command:
        sys.stdout.flush()
        os.execvp(command[0], command)  # noqa: S606
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
