"""Two packages that patch the same things must not meet in one process."""

from pathlib import Path

import pytest

pytest.register_assert_rewrite("compat.stories")

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    met = {item.path.relative_to(_HERE).parts[0] for item in items if item.path.is_relative_to(_HERE)}
    if len(met) > 1:
        raise pytest.UsageError(
            f"{', '.join(sorted(met))} in one process: these packages patch asyncio, and each needs a process "
            "of its own. Run make test-compat, or LOCK=compat .ci/env python -m tests.compat sentry"
        )
