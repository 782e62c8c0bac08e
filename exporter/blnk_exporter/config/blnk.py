"""Blnk's configuration as Blnk reads it: blnk.json, then BLNK_* over it, then defaults for what is still empty.

Source: Blnk ``config/config.go``, releases 0.13.2 to 0.15.2, and kelseyhightower/envconfig v1.4.0.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from ..errors import Fault
from ..formats import placeholder
from ..formats.go import parse_bool, parse_duration, parse_float, parse_int, wrap_int64
from . import blnk_json, origin
from .address import is_port
from .blnk_fields import BY_ENV, BY_ENV_FILE, FIELDS, NEWEST, OLDEST, SECOND, Field, Version, shown
from .deployment import Blnk
from .files import Files
from .origin import EffectiveValue, Entry, Origin
from .settings import BlnkFile

_QUEUES_MAX = 10_000
_TRIMMED = frozenset({"project_name", "server.port", "data_source.dns", "redis.dns"})
# Kubernetes tells every pod of the services beside it, by names that begin like Blnk's and our own variables.
SERVICE_LINK = re.compile(r"BLNK(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)")
_DAY_SECONDS = 86_400


@dataclass
class Reading:
    """What Blnk's configuration says; ``blnk`` is None when there is none.

    ``source`` is the file that the variables came from, or empty for those of this process. ``given`` holds what the operator set, by path, ``broken`` the paths whose value has a fault already: the whole
    file is the empty path. ``unknown`` maps names that Blnk ignores, variables as paths, to how they are written.
    """

    version: Version
    source: str = ""
    blnk: Blnk | None = None
    given: dict[str, Entry] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    values: list[EffectiveValue] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)

    def origin(self, path: str) -> Origin:
        """Tell where the value of a path came from."""
        entry = self.given.get(path)
        return entry.origin if entry else origin.default_of_blnk(shown(_known(self.version)), path)


def read(own: BlnkFile, place: Origin, environ: Mapping[str, str], files: Files, *, source: str = "") -> Reading:
    """Read blnk.json and BLNK_*; ``place`` is where the file's own name was given, ``source`` as in Reading."""
    reading = Reading(_version(own.version), source)
    if not own.enabled:
        return reading
    present = own.config is not None and files.exists(own.config)
    if own.config and present:
        _read_file(own.config, files, reading)
    elif place.text != origin.default().text:
        reading.faults.append(Fault(place.where, f"{own.config} does not exist"))
    _read_environment(environ, files, reading)
    if not present and not reading.given:
        if not reading.faults and own.config:
            reading.notes.append(f"{own.config} does not exist in {files.directory} and no BLNK_* variable is set.")
        return reading
    settled = {key.path: _settle(key, reading) for key in FIELDS}
    _check(settled, reading)
    _explain(settled, reading)
    queues = _queues(settled, reading, guessed="version" not in own.model_fields_set)
    reading.blnk = _build(settled, reading, queues)
    reading.values = [_row(key, settled[key.path], reading) for key in FIELDS if key.attribute]
    reading.values += _rate_limit_rows(reading, reading.blnk)
    return reading


def _version(text: str) -> Version:
    major, minor, patch = map(int, text.split("."))
    return major, minor, patch


def _read_file(name: str, files: Files, reading: Reading) -> None:
    try:
        content = files.read(name)
    except ValueError as error:
        reading.faults.append(Fault(name, str(error)))
        reading.broken.add("")
        return
    decoded = blnk_json.decode(content, name, reading.version)
    reading.broken |= {fault.where.removeprefix(name).strip() for fault in decoded.faults}
    reading.given |= decoded.values
    reading.faults += decoded.faults
    reading.notes += decoded.notes
    reading.unknown |= decoded.unknown


def _read_environment(environ: Mapping[str, str], files: Files, reading: Reading) -> None:
    """Put the variables over the file; one that is set and empty overrides too."""
    for key in FIELDS:
        name = next((name for name in (key.nested_env, key.env) if key.env and name in environ), None)
        file_name = f"{key.env}_FILE" if key.is_secret and environ.get(f"{key.env}_FILE") else None
        if name and file_name:
            reading.faults.append(Fault(file_name, f"is given together with {name}; give one of them"))
        elif (name or file_name) and key.since > reading.version:
            reading.notes.append(f"{name or file_name}: {blnk_json.too_new(key, reading.version)}")
        elif name:
            _read_variable(key, name, environ[name], reading)
        elif file_name:
            _read_secret(key, file_name, environ[file_name], files=files, reading=reading)
    unknown = [name for name in sorted(environ) if _is_unknown(name)]
    reading.notes += [_unknown(name) for name in unknown]
    reading.unknown |= {name.lower().removeprefix("blnk_"): blnk_json.short(name) for name in unknown}


def _known(version: Version) -> Version:
    return min(max(version, OLDEST), NEWEST)


def _read_variable(key: Field, name: str, text: str, reading: Reading) -> None:
    try:
        value = _PARSE[key.kind](text)
    except ValueError as error:
        empty = "" if text else "; Blnk itself does not start with it empty"
        what = placeholder.sentence(text) or f"{error}{empty}"
        reading.faults.append(Fault(origin.environment(name, reading.source).where, what))
        value = key.zero
        reading.broken.add(key.path)
    reading.given[key.path] = Entry(value, origin.environment(name, reading.source))


def _read_secret(key: Field, name: str, file: str, *, files: Files, reading: Reading) -> None:
    try:
        value = files.secret(file)
    except ValueError as error:
        reading.faults.append(Fault(origin.environment(name, reading.source).where, f"{file} {error}"))
        reading.broken.add(key.path)
        value = ""
    reading.given[key.path] = Entry(value, origin.secret_file(file, origin.environment(name, reading.source)))


def _headers(text: str) -> str:
    for pair in text.split(",") if text.strip() else ():
        if pair.count(":") != 1:
            raise ValueError("must be name:value pairs with commas between them, and no colon in a value")
    return "set" if text.strip() else ""


_PARSE: dict[str, Callable[[str], Any]] = {
    "text": origin.check_text,
    "secret": origin.check_text,
    "bool": parse_bool,
    "int": parse_int,
    "float": parse_float,
    "duration": parse_duration,
    "headers": _headers,
}


def _is_unknown(name: str) -> bool:
    ours = name.startswith((origin.PREFIX, "BLNK_ACCOUNTNUMBERGENERATION_"))
    known = name in BY_ENV or name in BY_ENV_FILE or SERVICE_LINK.fullmatch(name)
    return name.startswith("BLNK_") and not ours and not known


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, [*BY_ENV, *BY_ENV_FILE], n=1, cutoff=0.8)
    hint = f"; the nearest that it knows is {near[0]}" if near else ""
    return f"{blnk_json.short(name)}: Blnk does not know this variable and ignores it{hint}."


def _settle(key: Field, reading: Reading) -> Any:
    """Fill a hole with the release's default, and change a value as Blnk changes it."""
    entry = reading.given.get(key.path)
    value = key.zero if entry is None or key.since > reading.version else entry.value
    if key.path == "transaction.enable_coalescing" or (key.kind != "bool" and key.is_hole(value)):
        return key.default(reading.version)
    if key.path in _TRIMMED:
        return value.strip()
    multiplied = _multiplied(key.path, value, reading.version)
    return wrap_int64(value * SECOND) if multiplied else value


def _multiplied(path: str, value: Any, version: Version) -> bool:
    """Tell whether Blnk takes a duration for a number of seconds, whatever unit it was written in."""
    if path == "queue.hot_pair_ttl" or (path == "transaction.lock_duration" and version < (0, 15, 1)):
        return True
    return path in {"transaction.lock_duration", "transaction.lock_wait_timeout"} and bool(0 < value < SECOND)


def _check(settled: dict[str, Any], reading: Reading) -> None:
    """Find what Blnk would not start with, or what could not be watched."""
    for path in ("server.port", "queue.monitoring_port"):
        if not is_port(settled[path]):
            what = "must be a port from 1 to 65535"
            if settled[path].startswith("tcp://"):
                what += "; Kubernetes sets it for a Service of that name, which enableServiceLinks: false stops"
            what = placeholder.sentence(settled[path]) or what
            reading.faults.append(Fault(reading.origin(path).where, what))
    if not 0 < settled["queue.number_of_queues"] <= _QUEUES_MAX:
        where = reading.origin("queue.number_of_queues").where
        reading.faults.append(Fault(where, f"must be from 1 to {_QUEUES_MAX}"))
        settled["queue.number_of_queues"] = 1  # the rest is still looked at


def _explain(settled: dict[str, Any], reading: Reading) -> None:
    """Note what Blnk makes of a value where its author will not expect it."""
    notes = reading.notes
    for entry in reading.given.values():
        if isinstance(entry.value, str) and (unreplaced := placeholder.sentence(entry.value)):
            notes.append(f"{entry.origin.where}: {unreplaced}.")
    if (nearest := _known(reading.version)) != reading.version:
        notes.append(f"Blnk {shown(reading.version)} is not known here; it is read like {shown(nearest)}.")
    if settled["server.ssl"]:
        notes.append("server.ssl has had no effect since Blnk 0.13.0: the server speaks plain HTTP.")
    coalescing = reading.given.get("transaction.enable_coalescing")
    if coalescing and coalescing.value is False and reading.version >= (0, 14, 0):
        notes.append(f"{coalescing.origin.where}: Blnk does not let coalescing be switched off.")
    if settled["queue.inflight_commit_queue"] and reading.version < (0, 14, 4):
        notes.append(f"No worker of Blnk {shown(reading.version)} consumes {settled['queue.inflight_commit_queue']}.")
    for key in FIELDS:
        if key.kind == "duration" and key.path in reading.given:
            notes += _odd_duration(key.path, settled[key.path], reading)


def _odd_duration(path: str, value: int, reading: Reading) -> list[str]:
    entry = reading.given[path]
    where, seconds = entry.origin.where, value / SECOND
    if _multiplied(path, entry.value, reading.version) and not 0 <= seconds <= _DAY_SECONDS:
        release = shown(reading.version)
        return [f"{where}: becomes {seconds:.6g} seconds, for Blnk {release} takes its nanoseconds for seconds."]
    if 0 < value < SECOND // 1000:
        return [f"{where}: is {value} nanoseconds; in blnk.json 30 seconds are 30000000000."]
    return []


def _queues(settled: Mapping[str, Any], reading: Reading, *, guessed: bool) -> tuple[str, ...]:
    """Name the queues that a deployment with these values must have, the transactions' first."""
    commit, given = settled["queue.inflight_commit_queue"], reading.given.get("queue.inflight_commit_queue")
    if guessed and not (given and given.value):
        # Not every release has it: where the release is a guess, only its use shows that it is there.
        reading.notes.append(f"{commit} is expected once it is used, since older releases do not have it.")
        commit = ""
    names = [f"{settled['queue.transaction_queue']}_{shard + 1}" for shard in range(settled["queue.number_of_queues"])]
    names += [settled["queue.inflight_expiry_queue"], commit]
    names += [settled["queue.webhook_queue"], settled["queue.index_queue"]]
    if settled["queue.enable_hot_lane"]:
        names.append(settled["queue.hot_queue_name"])
    return tuple(dict.fromkeys(name for name in names if name))


def _build(settled: dict[str, Any], reading: Reading, queues: tuple[str, ...]) -> Blnk:
    fields = {key.attribute: _model_value(key, settled[key.path]) for key in FIELDS if key.attribute}
    limits = _rate_limit({path: entry.value for path, entry in reading.given.items()})
    return Blnk(**fields, **limits, version=shown(reading.version), queues=queues)


def _model_value(key: Field, value: Any) -> Any:
    if key.kind == "duration" and value is not None:
        return value / SECOND
    if key.is_secret:
        return SecretStr(value) if value else None
    return value or None if key.kind == "text" else value


def _rate_limit_rows(reading: Reading, blnk: Blnk) -> Iterator[EffectiveValue]:
    for path, value in (
        ("rate_limit.requests_per_second", blnk.rate_limit_requests_per_second),
        ("rate_limit.burst", blnk.rate_limit_burst),
        ("rate_limit.cleanup_interval_sec", blnk.rate_limit_cleanup_seconds),
    ):
        yield EffectiveValue(f"Blnk {path}", f"{value:.12g}", reading.origin(path).text)


def _rate_limit(given: Mapping[str, Any]) -> dict[str, Any]:
    """Work out the limits: the burst is twice the rate when only one of them is set."""
    rate, burst = given.get("rate_limit.requests_per_second"), given.get("rate_limit.burst")
    configured = rate is not None or burst is not None
    if rate is None:
        rate = 5_000_000.0 if burst is None else burst / 2
    if burst is None:
        burst = _twice(rate) if configured else 10_000_000
    return {
        "rate_limit_configured": configured,
        "rate_limit_requests_per_second": rate,
        "rate_limit_burst": burst,
        "rate_limit_cleanup_seconds": given.get("rate_limit.cleanup_interval_sec", 10_800),
    }


def _twice(rate: float) -> int:
    """Double a rate as an integer; what does not fit one has become useless, in Go too."""
    return 2 * int(rate) if abs(rate) < 2**62 else 0


def _row(key: Field, value: Any, reading: Reading) -> EffectiveValue:
    if value is None or value == "":
        text = "not set"
    elif key.is_secret:
        text = "***"
    elif key.kind == "duration":
        text = f"{value / SECOND:.12g} s"
    else:
        text = str(value).lower() if key.kind == "bool" else str(value)
    return EffectiveValue(f"Blnk {key.path}", text, reading.origin(key.path).text)
