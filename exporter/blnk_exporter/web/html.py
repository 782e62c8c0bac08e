"""Elements of HTML, built so that text cannot become markup."""

from html import escape


class Html(str):
    """Text that is markup already; every other text is escaped where it is put into an element."""

    __slots__ = ()


_VOID = frozenset({"meta", "link"})


def tag(name: str, /, *children: str | None, **attributes: str | None) -> Html:
    """One element. ``class_`` is the attribute class, ``aria_label`` aria-label; what is None is left out."""
    opened = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = join(*children)
    return Html(f"<{name}{opened}>" if name in _VOID else f"<{name}{opened}>{inner}</{name}>")


def join(*children: str | None) -> Html:
    """Elements and text one after the other."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children if child))


def table(caption: str, heads: tuple[str, ...], rows: list[Html]) -> Html:
    """A table that scrolls inside itself, also with the keyboard; a head that begins with # is over numbers."""
    cells = (
        tag("th", head.removeprefix("#"), scope="col", class_="number" if head[0] == "#" else None) for head in heads
    )
    body = (
        tag("caption", caption, class_="unseen"),
        tag("thead", tag("tr", *cells)),
        tag("tbody", *rows),
    )
    return tag("div", tag("table", *body), class_="wide", role="region", aria_label=caption, tabindex="0")


def row(head: str, *cells: Html) -> Html:
    """A row whose first cell names it."""
    return tag("tr", tag("th", head, scope="row"), *cells)


def cell(*children: str | None) -> Html:
    """A cell of a table."""
    return tag("td", *children)


def number(text: str) -> Html:
    """A cell with a number."""
    return tag("td", text, class_="number")
