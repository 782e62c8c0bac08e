"""A reading in the background ends, whatever the server does."""

import asyncio

import pytest
from tests.conftest import Database, frozen

from blnk_exporter.clients import patient
from blnk_exporter.errors import TimedOut
from blnk_exporter.table import Table

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("nothing_left")]

ONE = Table(name="one", sql={0: "SELECT 1 AS n"})


async def test_a_server_that_hangs_ends_no_statement(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own time limit does not help where it does nothing at all; the next reading is a new one."""
    reader = patient.PatientReader(postgres.dsn(), statement_timeout_seconds=0.5)
    with monkeypatch.context() as patch, frozen(postgres.server):
        patch.setattr(patient, "_GRACE_SECONDS", 0.0)
        with pytest.raises(TimedOut, match="no answer within the time limit"):
            async with asyncio.timeout(10):
                await reader.read((ONE,), patience_seconds=None)
    rows, _, _ = await reader.read((ONE,), patience_seconds=None)
    assert rows["one"] == [{"n": 1}]
