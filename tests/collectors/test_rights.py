"""The declared rights of each collector: enough for every fact, and not one of them without use."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from blnk_exporter import collectors
from blnk_exporter.collector import Collector
from blnk_exporter.right import Command, Extension, Keys, Member, Right, Select
from blnk_exporter.sandbox.valkey import ValkeyServer

from ..conftest import Farm
from .ground import GROUNDS, Ground, facts_of, fill, granted, names, prepared, settings, told, word

pytestmark = pytest.mark.sandbox

COLLECTORS = [collector for collector, _ in collectors.ROOMS]
RIGHTS = [(collector, right) for collector in COLLECTORS for right in collector.rights]
OF_POSTGRES = [(collector, right) for collector, right in RIGHTS if isinstance(right, Select | Member | Extension)]
OF_REDIS = [(collector, right) for collector, right in RIGHTS if isinstance(right, Command | Keys)]
COLUMNS = [
    (collector, replace(right, columns=(column,)))
    for collector, right in OF_POSTGRES
    if isinstance(right, Select)
    for column in right.columns
]


def _name(value: Any) -> str:
    match value:
        case Collector():
            return value.name
        case Select():
            return f"{value.table}.{'+'.join(value.columns)}"
        case Member():
            return value.role
        case Extension() | Command():
            return value.name
        case Keys():
            return value.pattern
        case _:
            return "-".join(map(str, value))


def each(cases: list[tuple[Collector[Any], Any]]) -> Any:
    return pytest.mark.parametrize(
        ("collector", "right"), cases, ids=[f"{_name(collector)} {_name(right)}" for collector, right in cases]
    )


@pytest_asyncio.fixture(scope="module", params=GROUNDS, ids=_name)
async def ground(farm: Farm, request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    """Every server with every release's tables, in turn."""
    version, release = request.param
    async with prepared(await farm.database(version), release) as made:
        yield made


@pytest_asyncio.fixture(params=["valkey", "redis"])
async def each_filled_store(farm: Farm, request: pytest.FixtureRequest) -> ValkeyServer:
    """Valkey and Redis 7 in turn."""
    return await fill(await farm.store(request.param))


@pytest_asyncio.fixture
async def filled_store(farm: Farm) -> ValkeyServer:
    """A Valkey."""
    return await fill(await farm.store("valkey"))


async def judge_enough(collector: Collector[Any], ground: Ground, store: ValkeyServer) -> None:
    """The printed rights give every fact that a superuser gets."""
    found = settings(ground, store, collector.name)
    async with granted(found, ground, store):
        least = await told(found)
    most = await told(settings(ground, store, collector.name, least=False))
    assert (least is None) == (most is None)
    if least is None or most is None:
        assert collector.rights == ()
        return
    assert (least.failure, least.gaps) == (None, {})
    assert least.rows == most.rows


@pytest.mark.parametrize("collector", COLLECTORS, ids=_name)
async def test_the_printed_rights_are_enough(
    ground: Ground, filled_store: ValkeyServer, collector: Collector[Any]
) -> None:
    """In each release and on each PostgreSQL."""
    await judge_enough(collector, ground, filled_store)


@pytest.mark.parametrize("ground", [(16, "0.15.2")], indirect=True, ids=_name)
@pytest.mark.parametrize("collector", sorted({collector for collector, _ in OF_REDIS}, key=_name), ids=_name)
async def test_the_printed_rights_are_enough_in_redis(
    ground: Ground, each_filled_store: ValkeyServer, collector: Collector[Any]
) -> None:
    """In Valkey and in Redis."""
    await judge_enough(collector, ground, each_filled_store)


async def told_less(collector: Collector[Any], right: Right, ground: Ground, store: ValkeyServer) -> Any:
    """What a collector tells before and after one of its rights was taken away."""
    found = settings(ground, store, collector.name)
    left_out = (word(right),) if isinstance(right, Command | Keys) else ()
    async with granted(found, ground, store):
        whole = await told(found)
    async with granted(found, ground, store, *left_out):
        if await ground.has(right):
            await ground.take(right)
        return whole, await told(found)


async def judge(collector: Collector[Any], right: Right, ground: Ground, store: ValkeyServer) -> None:
    """Exactly the declared facts are missing, and the reason tells which right it was."""
    whole, part = await told_less(collector, right, ground, store)
    assert (whole.failure, whole.gaps) == (None, {})
    if not right.facts:
        assert part.failure.reason == "refused"
        assert names(right, [str(part.failure)])
        return
    facts = await facts_of(right, collector, ground)
    assert part.failure is None
    assert set(part.gaps) == facts
    assert {reason for reason, _ in part.gaps.values()} <= {"refused"}
    assert names(right, [detail for _, detail in part.gaps.values()])
    assert whole.rows - part.rows == facts & whole.rows


@pytest.mark.parametrize("ground", [(15, "0.13.2"), (18, "0.15.2")], indirect=True, ids=_name)
@each(OF_POSTGRES)
async def test_one_right_less_in_postgres_is_its_facts_less(
    ground: Ground, filled_store: ValkeyServer, collector: Collector[Any], right: Right
) -> None:
    """And nothing else; where a release has nothing that the right is to, nothing is missing without it."""
    await judge(collector, right, ground, filled_store)


@pytest.mark.parametrize("ground", [(16, "0.15.2")], indirect=True, ids=_name)
@each(COLUMNS)
async def test_no_column_is_granted_without_need(
    ground: Ground, filled_store: ValkeyServer, collector: Collector[Any], right: Select
) -> None:
    """Each of them alone is missed, by facts that its declaration names."""
    assert await ground.has(right)
    _, part = await told_less(collector, right, ground, filled_store)
    if right.facts:
        assert part.failure is None
        assert set() < set(part.gaps) <= await facts_of(right, collector, ground)
    else:
        assert part.failure.reason == "refused"


@pytest.mark.parametrize("ground", [(16, "0.15.2")], indirect=True, ids=_name)
@each(OF_REDIS)
async def test_one_right_less_in_redis_is_its_facts_less(
    ground: Ground, each_filled_store: ValkeyServer, collector: Collector[Any], right: Right
) -> None:
    """The same for a command or a pattern of keys."""
    await judge(collector, right, ground, each_filled_store)


@pytest.fixture
def declaring(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Collector[Any]]:
    """Gives a collector other rights than it declares."""

    def declare(name: str, *rights: Right) -> Collector[Any]:
        made = {room.name: replace(room, rights=rights) if room.name == name else room for room, _ in collectors.ROOMS}
        monkeypatch.setattr(collectors, "ROOMS", tuple((made[room.name], bind) for room, bind in collectors.ROOMS))
        return made[name]

    return declare


@pytest.mark.parametrize("ground", [(16, "0.15.2")], indirect=True, ids=_name)
async def test_a_right_that_nobody_declared_is_seen(
    ground: Ground, filled_store: ValkeyServer, declaring: Callable[..., Collector[Any]]
) -> None:
    """These tests can fail: a declaration that forgets a right leaves a gap."""
    found = settings(ground, filled_store, declaring("postgres", Member("pg_read_all_settings", ())).name)
    async with granted(found, ground, filled_store):
        part = await told(found)
    assert "connections" in part.gaps


@pytest.mark.parametrize("ground", [(16, "0.15.2")], indirect=True, ids=_name)
async def test_a_right_without_use_is_seen(
    ground: Ground, filled_store: ValkeyServer, declaring: Callable[..., Collector[Any]]
) -> None:
    """And so does one that asks for more than it reads."""
    idle = Select("identity", ("first_name",), ("sizes",))
    collector = declaring("tables", idle)
    with pytest.raises(AssertionError, match="sizes"):
        await judge(collector, idle, ground, filled_store)
