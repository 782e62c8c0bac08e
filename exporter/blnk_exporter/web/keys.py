"""What the handlers find in the application, and which service a request is about."""

from aiohttp import web

from ..errors import ConfigError, UnknownTarget
from ..fleet import Fleet
from ..service import Service
from .door import Door

SERVICE = web.AppKey("service", Service)
FLEET = web.AppKey("fleet", Fleet)
DOOR = web.AppKey("door", Door)
PREFIX = web.AppKey("prefix", str)
"""The path that every page is below, without a slash at its end."""


def root(request: web.Request) -> str:
    """Return the relative way from a page to the first one: a proxy may put any path before ours."""
    path, prefix = request.rel_url.raw_path, request.app[PREFIX]
    if path.startswith(f"{prefix}/"):
        return "../" * path.removeprefix(f"{prefix}/").count("/") or "./"
    return "../" * (path.count("/") - 1) + f"{prefix}/".removeprefix("/")


async def asked(request: web.Request) -> Service:
    """The service of ``?target=``, or the exporter's own; raises 400 for a name that is none, 503 for a faulty one."""
    name = request.query.get("target")
    if name is None:
        return request.app[SERVICE]
    try:
        return await request.app[FLEET].find(name)
    except UnknownTarget as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from None
    except ConfigError as error:
        faults = "".join(f"  {fault}\n" for fault in error.faults)
        raise web.HTTPServiceUnavailable(text=f"{name} cannot be watched:\n{faults}") from None
