"""A small reverse proxy that has the exporter below a path, as nginx has: it removes that path, or keeps it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web


@dataclass
class Proxy:
    """``url`` is that of the path at the proxy, without a slash at its end; ``upstream`` may be set later."""

    url: str = ""
    upstream: str = ""


@asynccontextmanager
async def proxied(path: str, *, strip: bool, upstream: str = "") -> AsyncIterator[Proxy]:
    """A proxy that passes on the Host of its requests, and redirects as they are."""
    proxy = Proxy(upstream=upstream)

    async def passed(request: web.Request) -> web.Response:
        asked = request.rel_url.raw_path_qs
        if not asked.startswith(f"{path}/"):
            return web.Response(status=410, text="not below the proxy's path\n")
        headers = {"Host": request.host}
        url = proxy.upstream + (asked.removeprefix(path) if strip else asked)
        async with session.request(request.method, url, headers=headers, allow_redirects=False) as reply:
            kept = {name: reply.headers[name] for name in ("Content-Type", "Location") if name in reply.headers}
            return web.Response(status=reply.status, body=await reply.read(), headers=kept)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", passed)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    async with aiohttp.ClientSession() as session:
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
            yield proxy
        finally:
            await runner.cleanup()
