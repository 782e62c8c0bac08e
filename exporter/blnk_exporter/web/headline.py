"""The whole state in one sentence, and what it is made of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..collector import Outcome
from ..figures import STALE_SECONDS, STATES, Figure, State, failures, few
from ..history import SLOT_SECONDS
from ..quantity import duration
from .view import View

# More facts than these are counted; a longer reason is cut off, and all of it is where the anchor leads.
_NAMED_MAX = 3
_REASON_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Matter:
    """One thing that needs attention, and why it does.

    ``anchor`` is where the page has more of it, ``alert`` the one whose runbook says what to do.
    """

    state: State
    title: str
    words: str
    anchor: str
    why: str = ""
    alert: str = ""


@dataclass(frozen=True, slots=True)
class Headline:
    """``sentence`` for the page, ``title`` for its tab, ``matters`` worst first.

    ``unknown`` counts and names what is not known where the sentence has not said it; ``without`` has the reasons why
    collectors lack facts.
    """

    state: State
    sentence: str
    title: str
    matters: tuple[Matter, ...] = ()
    unknown: str = ""
    without: tuple[Matter, ...] = ()


def sum_up(view: View) -> Headline:
    """What a person should read first; while nobody scrapes, only that."""
    if view.scraped_at is None:
        return Headline("unknown", "No scrape has completed yet: nothing is known.", "Nothing known yet")
    if view.stale:
        age = duration(view.at - view.scraped_at)
        return Headline("unknown", f"Nobody scrapes: what follows is {age} old.", f"Nothing known for {age}")
    matters = tuple(sorted(_matters(view), key=lambda matter: STATES.index(matter.state)))
    gaps = _gaps(view)
    figures = [figure.title for figure in view.figures if figure.state == "unknown"]
    unread = [name for name, enabled in view.enabled.items() if enabled and name not in view.outcomes]
    facts = sum(map(len, gaps.values()))
    told = (
        _counted(len(figures), "figure", "unknown", few(figures)),
        _counted(facts, "fact", "missing", _facts(gaps, facts)),
        _counted(len(unread), "collector", "not read yet", few(unread)),
    )
    rest = " ".join(filter(None, told))
    without = tuple(
        Matter("unknown", name, _without(found), "collectors", alert="BlnkExporterFactMissing")
        for name, found in gaps.items()
    )
    if matters:
        names = [matter.title for matter in matters]
        listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        need = "thing needs" if len(matters) == 1 else "things need"
        levels = [(sum(matter.state == level for matter in matters), level) for level in STATES[:2]]
        title = ", ".join(f"{count} {level}" for count, level in levels if count)
        sentence = f"{len(matters)} {need} attention: {listed}."
        return Headline(matters[0].state, sentence, title, matters, rest, without)
    if rest:
        title = f"{len(figures) + facts + len(unread)} unknown"
        return Headline("unknown", f"Nothing over a limit. {rest}", title, without=without)
    return Headline("ok", "Nothing over a limit, nothing unknown.", "OK")


def _gaps(view: View) -> dict[str, dict[str, str]]:
    """By collector the facts that its sources would not give, and why."""
    found = {
        name: {gap.fact.replace("_", " "): gap.detail or gap.reason for gap in view.outcomes[name].gaps}
        for name in view.enabled
        if name in view.outcomes
    }
    return {name: gaps for name, gaps in found.items() if gaps}


def _counted(number: int, what: str, how: str, which: str) -> str:
    return f"{_count(number, what)} {how}: {which}." if number else ""


def _facts(gaps: Mapping[str, Mapping[str, str]], count: int) -> str:
    """Which, or of whom where there are many."""
    if count <= _NAMED_MAX:
        return ", ".join(f"{name} {fact}" for name, facts in gaps.items() for fact in facts)
    return ", ".join(f"{len(facts)} of {name}" for name, facts in gaps.items())


def _without(gaps: Mapping[str, str]) -> str:
    reason = next(iter(gaps.values()))
    short = reason if len(reason) <= _REASON_LENGTH else f"{reason[:_REASON_LENGTH]}…"
    return f"does not know {few([*gaps])}: {short}"


def _matters(view: View) -> Iterator[Matter]:
    for figure in view.figures:
        if figure.state in {"critical", "warning"}:
            yield Matter(figure.state, figure.title, _words(figure, view), figure.name, figure.why, figure.alert)
    # What is down is reported above, so the collectors that asked it are not; what refuses the exporter is not down.
    down = {instance.address for instance in view.instances if instance.state == "critical"}
    failed = [name for name, outcome in view.outcomes.items() if _fails(outcome, besides=down)]
    if failed:
        words = "; ".join(dict.fromkeys(words for name in failed for words in failures(view.outcomes[name])))
        title = f"{_count(len(failed), 'collector')} failed"
        yield Matter(
            "warning", title, f"{', '.join(failed)}: {words}", "collectors", alert="BlnkExporterCollectorFailing"
        )
    if view.faults:
        words = f"a file of it is faulty, and the one before is in force: {view.faults}"
        yield Matter("warning", "Configuration", words, "collectors", alert="BlnkExporterReloadFailed")


def _fails(outcome: Outcome, *, besides: set[str]) -> bool:
    return any(result.failure and result.address not in besides for result in outcome.results)


def _words(figure: Figure, view: View) -> str:
    limit = figure.limit.met(figure.value) if figure.limit and figure.value is not None and not figure.judged else ""
    parts = (f"{figure.text}{f' ({limit})' if limit else ''}", _since(figure, view), figure.note)
    return ", ".join(filter(None, parts))


def _since(figure: Figure, view: View) -> str:
    """For how long, from the first reading that had it to the last; of a single one, only its age is known."""
    if (known := view.history.since(figure.name, view.at)) is None:
        return ""
    first, last = known
    if last - first >= SLOT_SECONDS:
        return f"in trouble for at least {duration(round(last - first))}"
    # Beyond that, the note says so already.
    return f"read {view.ago(last)}" if SLOT_SECONDS <= view.at - last <= STALE_SECONDS else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
