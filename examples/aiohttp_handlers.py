"""Work that outlives its request, in every kind of handler, and a scheduler that sub-applications share.

    python -m examples.aiohttp_handlers

starts the application, asks it a few things over loopback, stops it, and prints

    POST /register 202 registered
    GET /admin/health 200 {"running": 1, "queued": 0}
    POST /upload 200 1000 bytes, clean
    POST /transfer?amount=7 200 7 transferred
    DELETE /accounts/ada 200 account ada deleted
    GET /reports/2026 200 Orders of 2026
    mail sent to ada@example.org
    stopped

As a service of its own it would be run by `web.run_app(create_app(), handler_cancellation=True)`.
"""

import asyncio

from aiohttp import ClientSession, web

from aiojobs.aiohttp import atomic, get_scheduler, setup, shield, spawn


async def send_mail(address: str) -> None:
    """Stands for something slow that the client need not wait for."""
    await asyncio.sleep(1)
    print(f"mail sent to {address}")


async def register(request: web.Request) -> web.Response:
    """Answer at once; the mail is sent whether the client stays or not."""
    address = (await request.json())["address"]
    await spawn(request, send_mail(address), name=f"mail to {address}")
    return web.Response(status=202, text="registered")


async def scan(data: bytes) -> str:
    """Stands for something that must not be interrupted half-way."""
    await asyncio.sleep(0.01)
    return f"{len(data)} bytes, clean"


async def upload(request: web.Request) -> web.Response:
    """Only the scan goes on if the client hangs up, not the rest of the handler."""
    data = await request.read()
    return web.Response(text=await shield(request, scan(data)))


@atomic
async def transfer(request: web.Request) -> web.Response:
    """The whole handler is a job, and runs to its end."""
    amount = int(request.query["amount"])
    await asyncio.sleep(0.01)  # withdraw here, and
    await asyncio.sleep(0.01)  # deposit there
    return web.Response(text=f"{amount} transferred")


class Account(web.View):
    """`atomic` for the methods of a view."""

    @atomic
    async def delete(self) -> web.Response:
        """Delete the account and all that belongs to it."""
        return web.Response(text=f"account {self.request.match_info['name']} deleted")


class Reports:
    """`atomic` for the methods of any class that take a request."""

    def __init__(self, title: str) -> None:
        self._title = title

    @atomic
    async def build(self, request: web.Request) -> web.Response:
        """Build the report for a year."""
        return web.Response(text=f"{self._title} {request.match_info['year']}")


async def health(request: web.Request) -> web.Response:
    """What the scheduler of the request has to do."""
    scheduler = get_scheduler(request)
    return web.json_response({"running": scheduler.active_count, "queued": scheduler.pending_count})


def create_app() -> web.Application:
    """An application with a scheduler, and one below it that uses the same."""
    app = web.Application()
    # Here belongs what the jobs need: app.cleanup_ctx.append(open_database)
    setup(app, limit=10, pending_limit=100, wait_timeout=30)
    app.router.add_post("/register", register)
    app.router.add_post("/upload", upload)
    app.router.add_post("/transfer", transfer)
    app.router.add_view("/accounts/{name}", Account)
    app.router.add_get("/reports/{year}", Reports("Orders of").build)
    admin = web.Application()
    admin.router.add_get("/health", health)
    app.add_subapp("/admin", admin)
    return app


async def main() -> None:
    """Ask every handler once, and stop while the mail is on its way."""
    runner = web.AppRunner(create_app(), handler_cancellation=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    async with ClientSession(f"http://{host}:{port}") as session:
        for method, path, body in (
            ("POST", "/register", b'{"address": "ada@example.org"}'),
            ("GET", "/admin/health", None),
            ("POST", "/upload", b"x" * 1000),
            ("POST", "/transfer?amount=7", None),
            ("DELETE", "/accounts/ada", None),
            ("GET", "/reports/2026", None),
        ):
            async with session.request(method, path, data=body) as response:
                print(method, path, response.status, await response.text())
    await runner.cleanup()
    print("stopped")


if __name__ == "__main__":
    asyncio.run(main())
