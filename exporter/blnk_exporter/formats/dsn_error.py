"""The one way in which a connection string can fail."""


class DsnError(ValueError):
    """A connection string that cannot be used; one sentence, never the string, its password or a part of either."""


def check_text(text: str) -> None:
    """Refuse what no connection string can be, before anything takes it apart."""
    if not text.strip():
        raise DsnError("is empty")
    if "\0" in text:
        raise DsnError("holds a NUL character")
    # A variable may hold any bytes; Python carries those that are not UTF-8 as lone surrogates.
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise DsnError("is not UTF-8 text")
