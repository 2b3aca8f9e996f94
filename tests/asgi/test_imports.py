"""What the modules are called, what they need, and what they offer."""

import importlib
import importlib.util
import sys

import pytest

MODULES = ["aiojobs.asgi", "aiojobs.starlette", "aiojobs.fastapi"]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_listed_and_exists(name):
    module = importlib.import_module(name)
    listed = set(module.__all__)
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }
    assert public <= listed
    assert all(hasattr(module, name) for name in listed)


@pytest.mark.parametrize(
    ("name", "missing", "install"),
    [
        ("aiojobs.starlette", "starlette.applications", "pip install 'starlette>=0.40'"),
        ("aiojobs.fastapi", "fastapi", "pip install 'fastapi>=0.115'"),
    ],
)
def test_without_the_framework_the_import_error_says_what_to_install(monkeypatch, name, missing, install):
    module = importlib.import_module(name)
    monkeypatch.setitem(sys.modules, missing, None)
    spec = importlib.util.spec_from_file_location(name, module.__file__)
    with pytest.raises(ImportError, match=install) as caught:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert caught.value.name == missing
    assert isinstance(caught.value.__cause__, ImportError)
