"""The sequence pictures of the architecture page are what the library does."""

import pytest

from docs import flows, pages
from support.builds import replaces_what_is_compiled

PAGE = "docs/explanation/architecture.md"


@replaces_what_is_compiled  # and there Python sees no calls
@pytest.mark.parametrize("title", flows.FLOWS)
def test_a_picture_shows_the_calls_that_are_made(title):
    assert flows.drawn(pages.text(PAGE), title) == flows.run(flows.FLOWS[title])


def test_a_flow_that_goes_another_way_is_told():
    async def twice(arrows):
        await flows.spawn_to_wait(arrows)
        await flows.spawn_to_wait(arrows)

    assert flows.drawn(pages.text(PAGE), "From spawn to wait") != flows.run(twice)
