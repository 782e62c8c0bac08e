"""GET /: the state of the deployment in one screen, for a person without Grafana."""

from urllib.parse import quote

from aiohttp import web

from .. import __version__
from ..figures import State
from . import headline, sections, targets
from .document import document
from .html import Html, tag
from .keys import FLEET, asked
from .view import View, gather

REFRESH_SECONDS = 15
# The tab's dot, in colours that show on light and dark tabs.
_DOTS: dict[State, str] = {"ok": "#2e9e5b", "unknown": "#8a93a0", "warning": "#f5b301", "critical": "#e5322d"}


async def page(request: web.Request) -> web.Response:
    """What the last scrape found; reads nothing itself. ``?refresh=off`` gives a page that stands still."""
    if request.app[FLEET].targets and "target" not in request.query:
        return await targets.page(request)
    view = gather(await asked(request), target=request.query.get("target"))
    text = render(view, refresh=request.query.get("refresh") != "off")
    return web.Response(text=text, content_type="text/html")


def render(view: View, *, refresh: bool = True) -> str:
    """The whole document."""
    head = headline.sum_up(view)
    meta = tag("meta", http_equiv="refresh", content=str(REFRESH_SECONDS)) if refresh else None
    icon = tag("link", rel="icon", href=_icon(head.state))
    main = tag(
        "main",
        sections.headline(head, view),
        sections.figures(view),
        tag("div", sections.instances(view), sections.changes(view), class_="pair"),
        sections.queues(view),
        sections.collectors(view),
        id="main",
    )
    body = (_header(view, refresh=refresh), main, _footer(view))
    return document(f"{head.title} \u2013 {view.target or 'Blnk'}", *body, head=(icon, meta))


def _header(view: View, *, refresh: bool) -> Html:
    scraped = ("Last scrape ", sections.moment(view.scraped_at, view)) if view.scraped_at else ("No scrape yet",)
    if refresh:
        words = f". This page loads anew every {REFRESH_SECONDS}\u00a0s: "
        link = tag("a", "stop that", href=view.here("refresh=off"))
    else:
        words, link = (
            ". This page stands still: ",
            tag("a", f"load it every {REFRESH_SECONDS}\u00a0s", href=view.here()),
        )
    brand: tuple[Html | str, ...] = (tag("strong", "Blnk exporter"),)
    if view.target:
        brand = (tag("a", "All targets", href="./"), " \u203a ", tag("strong", view.target))
    return tag("header", tag("p", *brand, class_="brand"), tag("p", *scraped, words, link, "."))


def _footer(view: View) -> Html:
    links = (
        (view.metrics_path, "Metrics"),
        ("runbooks/", "Runbooks"),
        ("-/healthy", "healthy"),
        ("-/ready", "ready"),
    )
    items = [tag("li", tag("a", words, href=path)) for path, words in links]
    about = tag("p", f"blnk-exporter {__version__}. Times are UTC. Lines show the last 30 min.")
    return tag("footer", tag("nav", tag("ul", *items), aria_label="Other pages"), about)


def _icon(state: State) -> str:
    dot = tag("circle", cx="8", cy="8", r="7", fill=_DOTS.get(state, _DOTS["unknown"]))
    picture = tag("svg", dot, xmlns="http://www.w3.org/2000/svg", viewBox="0 0 16 16")
    return f"data:image/svg+xml,{quote(picture)}"
