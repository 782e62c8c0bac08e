"""What the handlers find in the application."""

from aiohttp import web

from ..service import Service
from .door import Door

SERVICE = web.AppKey("service", Service)
DOOR = web.AppKey("door", Door)
