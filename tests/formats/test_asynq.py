"""asynq's keys and heartbeats: real ones, and every way in which bytes can be wrong."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from blnk_exporter.errors import Malformed, Refused
from blnk_exporter.formats import asynq
from blnk_exporter.formats.asynq import Server, parse_server

FIXTURES = Path(__file__).parent / "fixtures"


def captured(release: str) -> list[dict[str, Any]]:
    """The heartbeats of one real worker process; origin in fixtures/README.md."""
    return json.loads((FIXTURES / f"heartbeats_blnk_{release}.json").read_text())["heartbeats"]


def _server_info() -> type[Message]:
    """Asynq's ServerInfo, declared to the protobuf library: the oracle."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="oracle.proto", package="oracle", syntax="proto3")
    stamp = file.message_type.add(name="Timestamp")
    stamp.field.add(name="seconds", number=1, type=field.TYPE_INT64, label=field.LABEL_OPTIONAL)
    stamp.field.add(name="nanos", number=2, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    info = file.message_type.add(name="ServerInfo")
    kinds = {
        "host": (1, field.TYPE_STRING),
        "pid": (2, field.TYPE_INT32),
        "server_id": (3, field.TYPE_STRING),
        "concurrency": (4, field.TYPE_INT32),
        "strict_priority": (6, field.TYPE_BOOL),
        "status": (7, field.TYPE_STRING),
        "active_worker_count": (9, field.TYPE_INT32),
        "later_double": (20, field.TYPE_DOUBLE),
        "later_float": (21, field.TYPE_FLOAT),
        "later_text": (22, field.TYPE_STRING),
        "later_number": (2000, field.TYPE_UINT64),
    }
    for name, (number, kind) in kinds.items():
        info.field.add(name=name, number=number, type=kind, label=field.LABEL_OPTIONAL)
    start = info.field.add(name="start_time", number=8, type=field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL)
    start.type_name = ".oracle.Timestamp"
    entry = info.nested_type.add(name="QueuesEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    queues = info.field.add(name="queues", number=5, type=field.TYPE_MESSAGE, label=field.LABEL_REPEATED)
    queues.type_name = ".oracle.ServerInfo.QueuesEntry"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("oracle.ServerInfo"))


ServerInfo: Any = _server_info()
int32 = st.integers(-(2**31), 2**31 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize("release", ["0_13_2", "0_15_2"])
def test_a_real_workers_heartbeats(release: str) -> None:
    """Both servers of a real worker process, each with its queues, weights and slots."""
    heartbeats = captured(release)
    assert len(heartbeats) == 2
    for heartbeat in heartbeats:
        means, server = heartbeat["means"], parse_server(bytes.fromhex(heartbeat["hex"]))
        assert server.queues == means["queues"]
        assert (server.concurrency, server.active) == (means["concurrency"], means["active_worker_count"])
        assert (server.process, server.status) == ((means["host"], means["pid"]), means["status"])
        assert server.started_at == pytest.approx(means["start_time"], abs=1e-6)


@pytest.mark.parametrize("release", ["0_13_2", "0_15_2"])
def test_a_heartbeat_cut_anywhere_is_malformed_or_lacks_only_its_end(release: str) -> None:
    """Half a heartbeat must never look like a server with other slots or none."""
    for heartbeat in captured(release):
        whole = bytes.fromhex(heartbeat["hex"])
        full = parse_server(whole)
        for end in range(len(whole)):
            try:
                part = parse_server(whole[:end])
            except Malformed:
                continue
            assert (part.concurrency, part.status) == (full.concurrency, full.status)


def test_an_empty_heartbeat_is_malformed() -> None:
    """No bytes at all are a valid protobuf message, and no server."""
    with pytest.raises(Malformed, match="concurrency"):
        parse_server(b"")


@st.composite
def infos(draw: st.DrawFn) -> Any:
    """A ServerInfo with anything in it that asynq could mean; concurrency and status are never their zero values."""
    status, concurrency = draw(texts.filter(bool)), draw(int32.filter(bool))
    queues = draw(st.dictionaries(texts, int32, max_size=30))
    info = ServerInfo(host=draw(texts), pid=draw(int32), concurrency=concurrency, status=status, queues=queues)
    info.active_worker_count = draw(int32)
    info.start_time.seconds, info.start_time.nanos = draw(st.integers(0, 2**40)), draw(st.integers(0, 999_999_999))
    return info


@given(infos())
def test_it_reads_what_protobuf_writes(info: Any) -> None:
    """The library's own writer is the oracle, negative numbers and odd texts included."""
    started_at = info.start_time.seconds + info.start_time.nanos / 1e9
    process, queues = (info.host, info.pid), dict(info.queues)
    expected = Server(process, info.concurrency, info.active_worker_count, info.status, started_at, queues)
    assert parse_server(info.SerializeToString()) == expected


def test_fields_of_a_later_asynq_are_passed_over() -> None:
    """Every wire type, before and behind the known fields."""
    info = ServerInfo(concurrency=4, status="active", strict_priority=True)
    known = parse_server(info.SerializeToString())
    info.later_double, info.later_float, info.later_text, info.later_number = 1.5, 2.5, "x" * 300, 2**64 - 1
    assert parse_server(info.SerializeToString()) == known


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_a_server_or_malformed(raw: bytes) -> None:
    """Whatever somebody else keeps under asynq's key, it ends in one of two ways."""
    with suppress(Malformed):
        assert isinstance(parse_server(raw), Server)


@given(st.data())
def test_a_damaged_heartbeat_is_a_server_or_malformed(data: st.DataObject) -> None:
    """One byte changed in a real one reaches deeper than noise does."""
    raw = bytearray.fromhex(captured("0_15_2")[0]["hex"])
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(Malformed):
        assert isinstance(parse_server(bytes(raw)), Server)


@pytest.mark.parametrize(
    "raw",
    [b"\x0b\x0c", b"\x2a\x02\x08\x01", b"\x42\x02\x0a\x00", b"\xff" * 11, b"\x0a\xff\xff\xff\xff\x0f", b"\x09\x01"],
    ids=[
        "a group",
        "a queue without text",
        "a time of text",
        "an endless number",
        "a size beyond the end",
        "a cut fixed64",
    ],
)
def test_what_asynq_never_writes_is_malformed(raw: bytes) -> None:
    """Each way of being wrong has its sentence, none a traceback."""
    with pytest.raises(Malformed):
        parse_server(b"\x20\x01\x3a\x01a" + raw)


def test_keys_are_asynqs_own() -> None:
    """Compared with what a running Blnk has in its Redis."""
    assert asynq.key(b"new:transaction_1", "pending") == b"asynq:{new:transaction_1}:pending"
    assert asynq.task_key(b"new:webhook", b"txn_1") == b"asynq:{new:webhook}:t:txn_1"


@pytest.mark.parametrize("name", ['quo"te', "new\nline", "Ünï", "\\", "}:pending", ""])
def test_odd_names_stay_what_they_are(name: str) -> None:
    """A queue's name is free text to asynq."""
    assert asynq.text(name.encode()) == name
    assert asynq.key(name.encode(), "retry") == b"asynq:{" + name.encode() + b"}:retry"


@given(st.binary())
def test_any_bytes_become_text_that_can_be_written(raw: bytes) -> None:
    """A page is UTF-8, whatever the bytes in Redis are."""
    asynq.text(raw).encode()


def test_the_clock_is_told_in_seconds() -> None:
    """TIME answers two numbers."""
    assert asynq.clock([b"1795384291", b"070984"]) == pytest.approx(1795384291.070984, abs=1e-6)


def test_an_error_in_a_replys_place_is_raised() -> None:
    """And every other value is given back as it is."""
    with pytest.raises(Refused):
        asynq.clock(Refused("no"))
    assert asynq.reply(b"x") == b"x"
