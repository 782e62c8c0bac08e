"""GET /-/healthy and /-/ready: for supervisors and load balancers."""

from aiohttp import web

from .keys import SERVICE


async def healthy(_: web.Request) -> web.Response:
    """The process turns; says nothing of what it watches."""
    return web.Response(text="healthy\n")


async def ready(request: web.Request) -> web.Response:
    """A scrape has completed, whatever it found: Blnk being down must not take its monitor out of rotation."""
    if request.app[SERVICE].stopping:
        return web.Response(status=503, text="the exporter is stopping\n")
    if request.app[SERVICE].scraped.is_set():
        return web.Response(text="ready\n")
    return web.Response(status=503, text="the first scrape has not completed yet\n")
