"""What the handlers find in the application."""

from aiohttp import web

from ..service import Service

SERVICE = web.AppKey("service", Service)
