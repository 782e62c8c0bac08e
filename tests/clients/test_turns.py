"""The lock with two doors."""

import asyncio

import pytest

from blnk_exporter.clients.turns import Turns

from ..waiting import PATIENCE_SECONDS


async def test_the_front_goes_before_the_back_in_the_order_of_coming() -> None:
    """A dear statement of a slow room must not stand before one that tells whether the database is up."""
    turns, order = Turns(), []

    async def one(name: str, *, background: bool) -> None:
        async with turns.take(background=background):
            order.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(
        *(one(name, background=name.islower()) for name in ("a", "b", "C", "D", "e", "F")),
    )
    assert order == ["C", "D", "F", "a", "b", "e"]


async def test_who_has_just_finished_may_go_on_before_the_back() -> None:
    """A room asks for the version and then for its facts: what comes between must not be a slow room."""
    turns, order = Turns(), []

    async def front() -> None:
        for _ in range(3):
            async with turns.take():
                order.append("front")
                await asyncio.sleep(0)

    async def back() -> None:
        async with turns.take(background=True):
            order.append("back")

    await asyncio.gather(back(), front())
    assert order == ["front"] * 3 + ["back"]


@pytest.mark.parametrize("background", [False, True])
async def test_who_leaves_while_waiting_takes_nothing_along(*, background: bool) -> None:
    """Before being called, in the moment of being called, and as the holder."""
    turns = Turns()

    async def hold(gate: asyncio.Event) -> None:
        async with turns.take(background=background):
            await gate.wait()

    for leave_at in range(4):
        gate = asyncio.Event()
        holder, leaver = asyncio.create_task(hold(gate)), asyncio.create_task(hold(gate))
        for _ in range(3):
            await asyncio.sleep(0)
        if leave_at == 0:
            leaver.cancel()
        gate.set()
        for step in range(1, 4):
            await asyncio.sleep(0)
            if step == leave_at:
                leaver.cancel()
        await asyncio.wait([holder, leaver])
        async with asyncio.timeout(PATIENCE_SECONDS), turns.take(background=background):
            pass


async def test_who_is_called_while_leaving_passes_the_turn_on() -> None:
    """The holder ends and the next one is cancelled within one turn of the loop."""
    turns, gate = Turns(), asyncio.Event()

    async def hold() -> None:
        async with turns.take():
            await gate.wait()

    holder = asyncio.create_task(hold())
    await asyncio.sleep(0)
    leaver, heir = asyncio.create_task(hold()), asyncio.create_task(hold())
    await asyncio.sleep(0)
    gate.set()
    holder.add_done_callback(lambda _: leaver.cancel())
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.wait([holder, leaver, heir], timeout=PATIENCE_SECONDS)
    assert heir.done()
    assert not heir.cancelled()
