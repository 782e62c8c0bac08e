"""What every page for people has around it."""

from .html import Html, join, tag
from .style import STYLE


def document(title: str, *body: Html, head: tuple[Html | None, ...] = (), class_: str | None = None) -> str:
    """A whole document in the one style; ``head`` comes behind what every page has there."""
    parts = (
        tag("meta", charset="utf-8"),
        tag("title", title),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        *head,
        tag("style", Html(STYLE)),
    )
    skip = tag("a", "Skip to the content", href="#main", class_="skip")
    page = tag("html", tag("head", *parts), tag("body", skip, *body, class_=class_), lang="en")
    return join(Html("<!doctype html>"), page, Html("\n"))
