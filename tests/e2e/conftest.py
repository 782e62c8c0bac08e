"""One healthy sandbox for all tests that leave it as they found it, and the checks that nothing was left."""

from collections.abc import AsyncIterator

import pytest_asyncio

from blnk_exporter import sandbox
from blnk_exporter.sandbox import Sandbox


@pytest_asyncio.fixture(scope="session")
async def healthy() -> AsyncIterator[Sandbox]:
    """A healthy deployment; who breaks it mends it."""
    async with sandbox.running("healthy", report=print) as stack:
        yield stack
