"""How the sandbox says that it cannot."""

from ..errors import ExporterError


class SandboxError(ExporterError):
    """The sandbox cannot do what it was asked to, in words for the person who asked."""


class ServerError(SandboxError):
    """A server did not start or ended early; the message holds the tail of its log."""
