"""The whole state in one sentence, and what it is made of."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..collector import Outcome
from ..figures import STATES, Figure, State, obstacles
from ..history import SLOT_SECONDS
from ..quantity import duration
from .view import View

# A sentence names so many figures; more are counted.
_NAMED_MAX = 3


@dataclass(frozen=True, slots=True)
class Matter:
    """One thing that needs attention, and why it does; ``anchor`` is where the page has more of it."""

    state: State
    title: str
    words: str
    anchor: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Headline:
    """``sentence`` for the page, ``title`` for its tab, ``matters`` worst first, and what is unknown besides."""

    state: State
    sentence: str
    title: str
    matters: tuple[Matter, ...] = ()
    unknown: str = ""


def sum_up(view: View) -> Headline:
    """What a person should read first; while nobody scrapes, only that."""
    if view.scraped_at is None:
        return Headline("unknown", "No scrape has completed yet: nothing is known.", "Nothing known yet")
    if view.stale:
        age = duration(view.at - view.scraped_at)
        return Headline("unknown", f"Nobody scrapes: what follows is {age} old.", f"Nothing known for {age}")
    matters = tuple(sorted(_matters(view), key=lambda matter: STATES.index(matter.state)))
    unknown = [figure.title for figure in view.figures if figure.state == "unknown"]
    which = f": {', '.join(unknown)}" if len(unknown) <= _NAMED_MAX else ""
    rest = f"{_count(len(unknown), 'figure')} unknown{which}." if unknown else ""
    if matters:
        names = [matter.title for matter in matters]
        listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        need = "thing needs" if len(matters) == 1 else "things need"
        levels = [(sum(matter.state == level for matter in matters), level) for level in STATES[:2]]
        title = ", ".join(f"{count} {level}" for count, level in levels if count)
        return Headline(matters[0].state, f"{len(matters)} {need} attention: {listed}.", title, matters, rest)
    if unknown:
        return Headline("unknown", f"Nothing over a limit. {rest}", f"{len(unknown)} unknown")
    return Headline("ok", "Nothing over a limit, nothing unknown.", "OK")


def _matters(view: View) -> Iterator[Matter]:
    for figure in view.figures:
        if figure.state in {"critical", "warning"}:
            why = figure.limit.why if figure.limit else ""
            yield Matter(figure.state, figure.title, _words(figure, view), figure.name, why)
    # What is down is told above; who asked it in vain need not be told as well.
    down = {instance.address for instance in view.instances if instance.state != "ok"}
    failed = [name for name, outcome in view.outcomes.items() if _fails(outcome, besides=down)]
    if failed:
        words = "; ".join(dict.fromkeys(words for name in failed for words in obstacles(view.outcomes[name])))
        yield Matter(
            "warning", f"{_count(len(failed), 'collector')} failed", f"{', '.join(failed)}: {words}", "collectors"
        )
    if not view.reload_ok:
        words = "a file of it is faulty, and the one before is in force; the log has the faults"
        yield Matter("warning", "Configuration", words, "collectors")


def _fails(outcome: Outcome, *, besides: set[str]) -> bool:
    return any(result.failure and result.address not in besides for result in outcome.results)


def _words(figure: Figure, view: View) -> str:
    limit = figure.limit.met(figure.value) if figure.limit and figure.value is not None and not figure.judged else ""
    known, since = view.history.since(figure.name, view.at), ""
    if known and view.at - known[0] >= SLOT_SECONDS:
        since = f" for {'at least ' if known[1] else ''}{duration(round(view.at - known[0]))}"
    return f"{figure.text}{f' ({limit})' if limit else ''}{since}{f', {figure.note}' if figure.note else ''}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
