"""The order service for FastAPI: what is asked of it, and too much of it."""

import asyncio
import importlib

import pytest

from asgi.conftest import client_of

from .test_examples import ROOT


@pytest.fixture
def service(monkeypatch):
    """The module, in this process, with orders that take a second and write nothing."""
    monkeypatch.syspath_prepend(str(ROOT))
    module = importlib.import_module("examples.orders_fastapi")
    monkeypatch.setattr(module, "store", lambda *_: asyncio.sleep(1))
    return module


@pytest.mark.requirement("SPAWN-1", "LIMIT-4")
async def test_an_order_waits_for_a_place_as_long_as_patience_lasts(service, tmp_path):
    app = service.create_app(tmp_path / "orders.sqlite", grace=30, limit=1, pending_limit=1)
    async with client_of(app) as client:
        orders = [{"number": number, "item": "tea"} for number in range(3)]
        answers = [await client.post("/orders", json=order) for order in orders]
        assert [answer.status_code for answer in answers] == [202, 202, 503]
        assert answers[2].headers["Retry-After"] == "1"
        assert (await client.post("/orders", json={"number": "many"})).status_code == 422
