"""The one way in which a connection string can fail."""


class DsnError(ValueError):
    """A connection string that cannot be used; one sentence, never the string, its password or a part of either."""
