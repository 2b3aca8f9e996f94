"""Shared by all tests, and therefore nearly empty: a fixture belongs beside the tests that need it."""

pytest_plugins = ["support.loops", "support.specification"]
