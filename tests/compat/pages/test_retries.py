"""The programs of the page on retries and rates, with stamina, tenacity and aiolimiter, on virtual time."""

import pytest

from aiojobs.testing import VirtualLoop
from docs import pages

PAGE = "docs/howto/retries-and-rates.md"

pytestmark = pytest.mark.loops("stock")


@pytest.fixture
def run(tmp_path):
    """Runs a program of the page; what it printed, and how long it took on the loop's clock."""

    def run(name):
        loops = []

        def make():
            loops.append(VirtualLoop())
            return loops[-1]

        (file,) = [file for file in pages.files(PAGE) if file.name == name]
        printed = pages.run(pages.Example(PAGE, file.line, file.source, None), make, tmp_path)
        assert loops[0].complaints == []
        return printed.splitlines(), loops[0].time()

    return run


@pytest.mark.requirement("EXC-1")
def test_stamina_tries_again_in_one_job(run):
    printed, seconds = run("with_stamina.py")
    assert len([line for line in printed if "stamina.retry_scheduled" in line]) == 2
    assert (printed[-1], seconds) == ("hello", 3)


@pytest.mark.requirement("CLOSE-1")
def test_a_close_stops_a_retry_of_tenacity_at_once(run):
    printed, seconds = run("with_tenacity.py")
    assert printed == ["refused", "cancelled after 0 s"]
    assert seconds == 1


def test_a_limiter_before_spawn_spaces_the_calls(run):
    printed, _ = run("with_aiolimiter.py")
    assert printed == [f"call {number} after {max(0, number - 1) / 2:.1f} s" for number in range(6)]
