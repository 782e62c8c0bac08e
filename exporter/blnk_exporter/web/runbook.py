"""GET /runbooks/…: what to do about an alert, where a closed network has no other page for it."""

from aiohttp import web

from ..render import runbooks
from ..render.fill import Site
from ..render.rules import templates
from .document import side_page
from .html import Html, join, tag
from .keys import asked, root

# For commands that are pasted.
_ASSUMED = (
    "Commands take it that you are where Blnk and this exporter listen (localhost), that psql and redis-cli can log in and use"
    " Blnk's database (redis-cli -n where redis.dns names one), that services are called as in Blnk's compose file, pods"
    " stand in the namespace blnk, and $BLNK_KEY holds an API key."
)


async def index(request: web.Request) -> web.Response:
    """Every alert, by what it is about."""
    parts: list[Html] = [tag("h1", "Runbooks"), tag("p", _ASSUMED)]
    for template in templates():
        items = [tag("li", tag("a", alert.alert, href=alert.alert), f": {alert.summary}") for alert in template.alerts]
        if items:
            parts += [tag("h2", template.name), tag("ul", *items)]
    return _answer(request, "Runbooks", join(*parts))


async def moved(request: web.Request) -> web.Response:
    """Send a client that left out the slash to the index."""
    raise web.HTTPPermanentRedirect(f"{root(request)}runbooks/")


async def page(request: web.Request) -> web.Response:
    """One runbook, with the limits that this exporter goes by; a name that is no alert's is 404."""
    name = request.match_info["name"]
    alert = runbooks.alerts().get(name)
    if alert is None:
        lost = tag("p", "No alert has this name. ", tag("a", "All runbooks", href=f"{root(request)}runbooks/"))
        return _answer(request, "No such runbook", lost, status=404)
    text = runbooks.render(alert, Site(limits=(await asked(request)).limits), suffix="")
    return _answer(request, alert.alert, _markup(text))


def _markup(text: str) -> Html:
    # Only here: what most exporters are never asked for needs no memory.
    from markdown_it import MarkdownIt  # noqa: PLC0415

    return Html(MarkdownIt("commonmark", {"html": False}).render(text))


def _answer(request: web.Request, title: str, content: Html, *, status: int = 200) -> web.Response:
    text = side_page(title, content, root(request), class_="runbook")
    return web.Response(status=status, text=text, content_type="text/html")
