"""The bytes that the sandbox writes for asynq, read back by Google's protobuf."""

import re
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

from blnk_exporter.sandbox.protobuf import number, varint
from blnk_exporter.sandbox.task import Server, Task

# The fields as facts/blnk.md §3.3 lists them; a dot stands before a message's name.
MESSAGES = {
    "TaskMessage": "1 string type,2 bytes payload,3 string id,4 string queue,5 int32 retry,6 int32 retried,"
    "7 string error_msg,8 int64 timeout,9 int64 deadline,11 int64 last_failed_at",
    "ServerInfo": "1 string host,2 int32 pid,3 string server_id,4 int32 concurrency,5 map queues,"
    "6 bool strict_priority,7 string status,8 .Timestamp start_time,9 int32 active_worker_count",
    "WorkerInfo": "1 string host,2 int32 pid,3 string server_id,4 string task_id,5 string task_type,"
    "6 bytes task_payload,7 string queue,8 .Timestamp start_time,9 .Timestamp deadline",
}
F = descriptor_pb2.FieldDescriptorProto


def add_fields(message: descriptor_pb2.DescriptorProto, text: str) -> None:
    for part in text.split(","):
        tag, kind, name = part.split()
        field = message.field.add(name=name, number=int(tag), label=F.LABEL_OPTIONAL)
        if kind == "map":
            field.type, field.label, field.type_name = F.TYPE_MESSAGE, F.LABEL_REPEATED, ".asynq.ServerInfo.QueuesEntry"
            entry = message.nested_type.add(name="QueuesEntry")
            add_fields(entry, "1 string key,2 int32 value")
            entry.options.map_entry = True
        elif kind == ".Timestamp":
            field.type, field.type_name = F.TYPE_MESSAGE, ".google.protobuf.Timestamp"
        else:
            field.type = getattr(F, f"TYPE_{kind.upper()}")


@pytest.fixture(scope="module")
def proto() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="asynq.proto", package="asynq", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    for name, text in MESSAGES.items():
        add_fields(file.message_type.add(name=name), text)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"asynq.{name}")) for name in MESSAGES}


TASK = Task(type="new:webhook", queue="new:webhook", payload=b'{"\xff": 1}', id="t-1").failed(
    "status 500 ü", 1_795_384_742.9
)
SERVER = Server(
    host="vm", pid=13445, concurrency=20, queues={"new:index": 1, "new:webhook": 3}, started_at=1_795_384_152.25
)


def test_task_message(proto: dict[str, Any]) -> None:
    read = proto["TaskMessage"].FromString(TASK.encode())
    assert (read.type, read.payload, read.id, read.queue) == ("new:webhook", b'{"\xff": 1}', "t-1", "new:webhook")
    assert (read.retry, read.retried, read.error_msg) == (25, 1, "status 500 ü")
    assert (read.timeout, read.deadline, read.last_failed_at) == (1800, 0, 1_795_384_742)
    assert TASK.encode() == read.SerializeToString()


def test_server_info(proto: dict[str, Any]) -> None:
    read = proto["ServerInfo"].FromString(SERVER.encode(3))
    assert (read.host, read.pid, read.server_id) == ("vm", 13445, SERVER.id)
    assert dict(read.queues) == SERVER.queues
    assert (read.concurrency, read.status, read.active_worker_count) == (20, "active", 3)
    assert read.start_time.ToNanoseconds() == 1_795_384_152_250_000_000
    assert re.fullmatch(r"\{vm:13445:[0-9a-f-]{36}\}", SERVER.key)


def test_idle_server_leaves_its_zero_out(proto: dict[str, Any]) -> None:
    """As Go does; a reader must not take the missing field for damage."""
    assert SERVER.encode(0) == proto["ServerInfo"].FromString(SERVER.encode(0)).SerializeToString(deterministic=True)
    assert proto["ServerInfo"].FromString(SERVER.encode(0)).active_worker_count == 0


def test_worker_info(proto: dict[str, Any]) -> None:
    read = proto["WorkerInfo"].FromString(SERVER.encode_worker(TASK, 1_795_384_179.5))
    assert (read.host, read.pid, read.server_id) == ("vm", 13445, SERVER.id)
    assert (read.task_id, read.task_type, read.queue) == ("t-1", "new:webhook", "new:webhook")
    assert read.task_payload == TASK.payload
    assert read.start_time.ToNanoseconds() == 1_795_384_179_500_000_000
    assert read.deadline.seconds - read.start_time.seconds == 1800


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02"), (-1, b"\xff" * 9 + b"\x01")],
)
def test_varint(value: int, written: bytes) -> None:
    assert varint(value) == written
    assert number(1, value) == (b"" if value == 0 else b"\x08" + written)
