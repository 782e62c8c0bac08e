"""One queue's commands, and what their replies say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blnk_exporter.collector import Gap
from blnk_exporter.errors import Refused
from blnk_exporter.formats.asynq_queue import FACTS, Queue, head_commands, parse, parse_head, queue_commands

NOW = 1_795_384_291.5
QUIET: dict[str, Any] = {
    **dict.fromkeys(("pending", "active", "scheduled", "retry", "archived"), 0),
    "counters": [None, None, None],
    **{fact: [] for fact in ("scheduled_due_at", "retry_due_at", "last_death_at")},
    **dict.fromkeys(("scheduled_overdue", "retry_overdue", "stale_leases"), 0),
    "head": None,
}


def replies(**changed: Any) -> list[Any]:
    """The replies of one queue: a quiet one's, but for what is named."""
    assert set(QUIET) == set(FACTS)
    assert set(changed) <= set(FACTS)
    return [(QUIET | changed)[fact] for fact in FACTS]


def one(**changed: Any) -> tuple[Queue, dict[bytes, bytes], list[Gap]]:
    queues, heads, gaps = parse([b"q"], ["q"], frozenset({b"q"}), replies(**changed), NOW)
    return queues[0], heads, gaps


def test_an_idle_queue_is_all_zeros() -> None:
    """Asynq counts from keys that do not exist: zero is the truth here, and no due time is not zero."""
    queue, heads, gaps = one()
    assert queue == Queue(
        "q", expected=True, registered=True, pending=0, active=0, scheduled=0, retry=0, archived=0, processed=0, failed=0,
        paused=False, scheduled_overdue=0, retry_overdue=0, stale_leases=0, head_lost=False,
    )  # fmt: skip
    assert (heads, gaps) == ({}, [])


def test_a_busy_queue_tells_everything() -> None:
    """Each reply lands in its own field."""
    queue, heads, _ = one(
        pending=3, active=2, scheduled=5, retry=4, archived=7, counters=[b"100", b"9", b"1795380000"],
        scheduled_due_at=[b"a", b"1795384000"], retry_due_at=[b"b", b"1795384100"], last_death_at=[b"c", b"1795000000"],
        scheduled_overdue=2, retry_overdue=1, stale_leases=6, head=b"task-1",
    )  # fmt: skip
    assert (queue.pending, queue.active, queue.scheduled, queue.retry, queue.archived) == (3, 2, 5, 4, 7)
    assert (queue.processed, queue.failed, queue.paused, queue.paused_at) == (100, 9, True, 1795380000.0)
    assert (queue.scheduled_due_at, queue.retry_due_at, queue.last_death_at) == (1795384000, 1795384100, 1795000000)
    assert (queue.scheduled_overdue, queue.retry_overdue, queue.stale_leases) == (2, 1, 6)
    assert heads == {b"q": b"task-1"}
    assert queue.head_lost is None


@pytest.mark.parametrize(("due", "told"), [(NOW + 3600, None), (NOW - 59, None), (NOW - 61, NOW - 61)])
def test_only_what_is_overdue_has_a_due_time(due: float, told: float | None) -> None:
    """Asynq forwards every few seconds; before a minute has passed nothing is late."""
    queue, _, _ = one(scheduled_due_at=[b"a", str(due).encode()], retry_due_at=[b"a", str(due).encode()])
    assert (queue.scheduled_due_at, queue.retry_due_at) == (told, told)


@pytest.mark.parametrize("fact", FACTS)
def test_a_refused_command_costs_its_fact_only(fact: str) -> None:
    """The rest of the queue stays, and the gap says which fact and why."""
    waiting = {"head": b"id", "pending": 2}
    whole, _, _ = one(**waiting)
    part, _, gaps = one(**waiting | {fact: Refused("no permission")})
    assert gaps == [Gap(fact, "refused", "no permission")]
    fields = {"counters": {"processed", "failed", "paused", "paused_at"}, "head": {"head_lost"}}.get(fact, {fact})
    changed = {name for name in Queue.__dataclass_fields__ if getattr(whole, name) != getattr(part, name)}
    assert changed <= fields
    assert all(getattr(part, name) is None for name in fields)


@pytest.mark.parametrize("fact", [fact for fact in FACTS if fact != "head"])
@pytest.mark.parametrize("nonsense", [b"x", [b"x"], [[]], "list of errors"])
def test_a_reply_of_another_shape_is_a_malformed_gap(fact: str, nonsense: Any) -> None:
    """Other people's keys, or a proxy that answers as it likes: never a crash."""
    _, _, gaps = one(**{fact: nonsense})
    assert [(gap.fact, gap.reason) for gap in gaps] == [(fact, "malformed")]


def test_a_short_list_of_replies_leaves_facts_unknown() -> None:
    """No reply is no zero."""
    queues, _, _ = parse([b"a", b"b"], [], None, replies(), NOW)
    assert (queues[0].pending, queues[1].pending, queues[1].registered) == (0, None, None)


@pytest.mark.parametrize(
    ("name", "text"),
    [('quo"te', 'quo"te'), ("new\nline", "new\nline"), ("Ünïcøde", "Ünïcøde"), (b"\xff\xfe", "\\xff\\xfe"), (b"", "")],
)
def test_odd_names(name: str | bytes, text: str) -> None:
    """Asynq takes any bytes for a queue's name."""
    raw = name.encode() if isinstance(name, str) else name
    queues, _, _ = parse([raw], [text], frozenset({raw}), replies(), NOW)
    assert (queues[0].name, queues[0].expected, queues[0].registered) == (text, True, True)
    assert all(raw in command[1] for command in queue_commands(raw, NOW))


@given(st.lists(st.binary(max_size=20), unique=True, max_size=5))
def test_every_queue_gets_its_own_replies(names: list[bytes]) -> None:
    """Place is all that ties a reply to its queue."""
    given_replies = [reply for place in range(len(names)) for reply in replies(pending=place, head=b"%d" % place)]
    queues, heads, gaps = parse(names, [], frozenset(names), given_replies, NOW)
    assert [queue.pending for queue in queues] == list(range(len(names)))
    assert heads == {name: b"%d" % place for place, name in enumerate(names)}
    assert gaps == []


@pytest.mark.parametrize(
    ("exists", "since", "next_id", "lost", "pending_since"),
    [
        (1, b"1795384280500000000", b"id", False, 1795384280.5),
        (1, None, b"id", False, None),
        (0, None, b"id", True, None),
        (0, None, b"other", None, None),
        (0, None, None, None, None),
    ],
    ids=["waits", "put back by a stopping worker", "content lost", "taken meanwhile", "queue drained meanwhile"],
)
def test_the_head(
    *, exists: int, since: bytes | None, next_id: bytes | None, lost: bool | None, pending_since: float | None
) -> None:
    """Only an id that still waits after its content was found missing is evidence of a loss."""
    queue, heads, _ = one(pending=1, head=b"id")
    (told,), gaps = parse_head([queue], heads, [exists, since, next_id])
    assert (told.head_lost, told.pending_since, gaps) == (lost, pending_since, [])


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([Refused("no"), None, b"id"], "refused"),
        ([1, Refused("no"), b"id"], "refused"),
        ([0, None, Refused("no")], "refused"),
        ([1, b"yesterday", b"id"], "malformed"),
        ([], "malformed"),
    ],
)
def test_a_head_that_cannot_be_judged_is_a_gap(answers: list[Any], reason: str) -> None:
    """Neither lost nor whole: unknown, and said so."""
    queue, heads, _ = one(pending=1, head=b"id")
    (told,), gaps = parse_head([queue], heads, answers)
    assert (told.head_lost, told.pending_since) == (None, None)
    assert [(gap.fact, gap.reason) for gap in gaps] == [("head", reason)]


def test_heads_find_their_queues() -> None:
    """Queues without a head lie between those that have one."""
    all_replies = replies(head=b"1") + replies() + replies(head=b"3")
    queues, heads, _ = parse([b"a", b"b", b"c"], [], None, all_replies, NOW)
    told, _ = parse_head(queues, heads, [1, b"1000000000", b"1", 1, b"3000000000", b"3"])
    assert [queue.pending_since for queue in told] == [1.0, None, 3.0]
    assert head_commands(b"a", b"1")[0] == ("EXISTS", b"asynq:{a}:t:1")


def test_every_command_only_reads() -> None:
    """A monitor that changes what it watches is none."""
    asked = {command[0] for command in (*queue_commands(b"q", NOW), *head_commands(b"q", b"id"))}
    assert asked == {"LLEN", "ZCARD", "MGET", "ZRANGE", "ZCOUNT", "LINDEX", "EXISTS", "HGET"}
