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


def side_page(title: str, content: Html, root: str, *, class_: str | None = None) -> str:
    """A document that leads to the state and to the runbooks; ``root`` is the relative way to the first page."""
    links = ((root, "State"), (f"{root}runbooks/", "All runbooks"))
    items = [tag("li", tag("a", words, href=path)) for path, words in links]
    nav = tag("nav", tag("ul", *items), aria_label="Other pages")
    header = tag("header", tag("p", tag("strong", "Blnk exporter"), class_="brand"), nav)
    return document(f"{title} \u2013 Blnk", header, tag("main", content, id="main"), class_=class_)
