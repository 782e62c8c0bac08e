"""The parts of the page, one function each."""

from datetime import UTC, datetime

from ..collector import Outcome
from ..figures import Figure, QueueRow, obstacles
from ..news import FAILURES_KEPT, RECOVERIES_KEPT, Change
from ..quantity import Unit, say
from . import sparkline
from .headline import Headline, Matter
from .html import Html, cell, join, number, row, table, tag
from .view import View

# So many are shown at once; the others are a click away.
_QUEUES_SHOWN = 8
_CHANGES_SHOWN = 6
# A longer note fills a card, and is shown on one of those that have it.
_NOTE_LENGTH = 60


def state_word(state: str, word: str = "") -> Html:
    """A state as text; its colour only repeats it."""
    return tag("span", word or state, class_=f"state {state}")


def moment(at: float, view: View) -> Html:
    """A time in UTC, with its age."""
    then = datetime.fromtimestamp(at, UTC)
    day = "" if then.date() == datetime.fromtimestamp(view.at, UTC).date() else f"{then:%Y-%m-%d }"
    shown = tag("time", f"{day}{then:%H:%M:%S} UTC", datetime=f"{then:%Y-%m-%dT%H:%M:%SZ}")
    return join(shown, f" ({view.ago(at)})")


def headline(head: Headline, view: View) -> Html:
    """What needs attention, worst first."""
    hint = None
    if view.stale:
        link = tag("a", f"/{view.metrics_path}", href=view.metrics_path)
        hint = tag("p", "Each request for ", link, " is a scrape. Does Prometheus still reach this exporter?")
    title = tag("h1", head.sentence, id="headline")
    listed = tag("ul", *(_matter(matter, view) for matter in head.matters)) if head.matters else None
    unknown = _unknown(head, view) if head.without else tag("p", head.unknown) if head.unknown else None
    return tag("section", title, hint, listed, unknown, class_=f"headline {head.state}", aria_labelledby="headline")


def _unknown(head: Headline, view: View) -> Html:
    """Folded where there is trouble to look at first."""
    why = tag("summary", head.unknown or "What is missing, and why")
    return tag(
        "details",
        why,
        tag("ul", *(_matter(matter, view) for matter in head.without)),
        open=None if head.matters else "",
    )


def _matter(matter: Matter, view: View) -> Html:
    why = tag("span", f"{matter.why} ", class_="why") if matter.why else None
    name = tag("a", matter.title, href=f"#{matter.anchor}")
    runbook = tag("a", f"Runbook\u00a0{matter.alert}", href=view.runbook_of(matter.alert)) if matter.alert else None
    return tag("li", state_word(matter.state), " ", name, f": {matter.words}. ", why, runbook)


def figures(view: View) -> Html:
    """A card for each key figure, always in the same order; what is switched off is only named."""
    shown = [figure for figure in view.figures if figure.state != "off"]
    up, others = ([figure for figure in shown if (figure.unit == "instances") == wanted] for wanted in (True, False))
    told: dict[str, Figure] = {}
    cards = [
        tag("ul", *(_card(figure, view, told) for figure in part), class_="cards") for part in (up, others) if part
    ]
    off = [figure.title for figure in view.figures if figure.state == "off"]
    missing = _quiet(f"Not watched here: {', '.join(off)}.") if off else None
    return _section("figures", "Key figures", *cards, missing, _about(view))


def _card(figure: Figure, view: View, told: dict[str, Figure]) -> Html:
    name = tag("a", figure.title, href=f"#about-{figure.name}")
    line = sparkline.draw(figure, view.history.points(figure.name, view.at), view.at)
    # Where nothing is looked for, nothing was found to be well.
    judged = figure.limit_words or figure.state != "ok"
    state = state_word(figure.state) if judged else None
    value = (state,) if figure.value is None else (figure.text, " ", state)
    return tag(
        "li",
        tag("h3", name),
        tag("p", *value, class_="value"),
        line if figure.unit != "instances" else None,
        tag("p", _note(figure, told), class_="note") if figure.note else None,
        _quiet(figure.limit_words) if figure.limit_words else None,
        id=figure.name,
        class_=f"card {figure.state}",
    )


def _note(figure: Figure, told: dict[str, Figure]) -> Html:
    """The note; a long one is on the first card that has it."""
    first = told.setdefault(figure.note, figure)
    if first is figure or len(figure.note) <= _NOTE_LENGTH:
        return join(figure.note)
    return join("as for ", tag("a", first.title, href=f"#{first.name}"))


def _about(view: View) -> Html:
    rows = []
    for figure in view.figures:
        link = tag("a", figure.collector, href=view.metrics_of(figure.collector))
        names = [tag("code", f"{name} ") for name in figure.metrics]
        limit, why = figure.limit_words, figure.why
        cells = (cell(*names), cell(link), cell(limit), cell(why))
        rows.append(tag("tr", tag("th", figure.title, scope="row"), *cells, id=f"about-{figure.name}"))
    heads = ("Figure", "Metrics", "Collector", "Limit", "Why")
    inner = table("What the key figures are made of", heads, rows)
    return tag("details", tag("summary", "Metrics and limits behind these figures"), inner)


def instances(view: View) -> Html:
    """Each process and database, one by one."""
    if not view.instances:
        return _section("instances", "Instances", _quiet("None has been asked yet."))
    rows = [
        row(
            instance.kind,
            cell(tag("code", instance.address)),
            cell(state_word({"ok": "up", "critical": "down"}.get(instance.state, instance.state), instance.word)),
            number("" if instance.response_seconds is None else say(instance.response_seconds, "seconds")),
            cell(instance.note),
        )
        for instance in view.instances
    ]
    heads = ("Instance", "Address", "State", "#Health answer", "Why")
    return _section("instances", "Instances", table("Instances", heads, rows))


def queues(view: View) -> Html | None:
    """The worst queues, and the others folded."""
    if not view.enabled.get("queues"):
        return None
    title, first, rest = "Queues, worst first", view.queues[:_QUEUES_SHOWN], view.queues[_QUEUES_SHOWN:]
    folded = None
    if rest:
        bad = sum(queue.state in {"critical", "warning"} for queue in rest)
        words = f"{bad} of them in trouble" if bad else "none of them in trouble"
        inner = _queue_table("Further queues", rest)
        folded = tag("details", tag("summary", f"{len(rest)} further queues, {words}"), inner)
    return _section("queues", title, _queues_unread(view), _queue_table(title, first) if first else None, folded)


def _queues_unread(view: View) -> Html | None:
    """Why their depths are not known; workers may still tell who consumes them."""
    outcome = view.outcomes.get("queues")
    if outcome and not outcome.failure:
        return None if view.queues else tag("p", "There are none.")
    why = "; ".join(obstacles(outcome)) if outcome else "not read yet"
    return tag("p", state_word("unknown"), f" {why}")


def _queue_table(caption: str, rows: tuple[QueueRow, ...]) -> Html:
    heads = (
        "Queue",
        "State",
        "#Pending",
        "#Oldest waits",
        "#Active",
        "#Retry",
        "#Scheduled",
        "#Archived",
        "#Consumers",
    )
    return table(caption, heads, [_queue(queue) for queue in rows])


def _queue(queue: QueueRow) -> Html:
    counts = (queue.active, queue.retry, queue.scheduled, queue.archived, queue.consumers)
    oldest = "none" if queue.oldest_seconds is None and queue.pending == 0 else _known(queue.oldest_seconds, "seconds")
    return row(
        queue.name,
        tag("td", state_word(queue.state), f" {', '.join(queue.words)}", class_="words" if queue.words else None),
        number(_count(queue.pending)),
        number(oldest),
        *(number(_count(count)) for count in counts),
    )


def collectors(view: View) -> Html:
    """Whether each source could be read, how long it took and what stood in the way."""
    told: dict[str, str] = {}
    rows = [_collector(name, enabled, view, told) for name, enabled in view.enabled.items()]
    heads = ("Collector", "State", "#Took", "#Read", "What stood in its way")
    return _section("collectors", "Collectors", table("Collectors", heads, rows))


def _collector(name: str, enabled: bool, view: View, told: dict[str, str]) -> Html:  # noqa: FBT001 - a cell's value
    outcome = view.outcomes.get(name)
    if not enabled or outcome is None:
        state, words = ("off", "switched off, or its target is not configured") if not enabled else ("waiting", "")
        return row(name, cell(state_word(state)), number(""), number(""), cell(words or "not read yet"))
    state = "failed" if outcome.failure else "incomplete" if outcome.gaps else "read"
    took = say(outcome.duration_seconds, "seconds")
    return row(
        name, cell(state_word(state)), number(took), number(view.ago(outcome.finished_at)), _obstacles(outcome, told)
    )


def _obstacles(outcome: Outcome, told: dict[str, str]) -> Html:
    """What stood in the way; a long reason is in the first row that has it."""
    name, lines = outcome.collector.name, []
    for words in obstacles(outcome):
        first = told.setdefault(words, name)
        lines.append(tag("div", words if first == name or len(words) <= _NOTE_LENGTH else f"as for {first}"))
    return cell(*lines)


def changes(view: View) -> Html:
    """What failed and what came back, the newest first."""
    kept = f"The last {FAILURES_KEPT} failures and {RECOVERIES_KEPT} recoveries since the exporter started are kept."
    items = [_change(change, view) for change in view.changes]
    if not items:
        return _section("changes", "Failures and recoveries", _quiet("None."), _quiet(kept))
    first, rest = items[:_CHANGES_SHOWN], items[_CHANGES_SHOWN:]
    folded = tag("details", tag("summary", f"{len(rest)} further changes"), tag("ul", *rest)) if rest else None
    return _section("changes", "Failures and recoveries", tag("ul", *first), folded, _quiet(kept))


def _change(change: Change, view: View) -> Html:
    what = tag("span", change.what, class_=f"state {'failed' if change.bad else 'read'}")
    where = f" {change.source}" if change.source else ""
    detail = f": {change.detail}" if change.detail else ""
    return tag("li", what, " ", tag("strong", change.collector), where, ", ", moment(change.at, view), detail)


def _section(name: str, title: str, *children: Html | None) -> Html:
    head = tag("h2", title, id=f"{name}-title")
    return tag("section", head, *children, id=name, aria_labelledby=f"{name}-title")


def _quiet(words: str) -> Html:
    return tag("p", words, class_="quiet")


def _known(value: float | None, unit: Unit) -> str:
    return "unknown" if value is None else say(value, unit)


def _count(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}"
