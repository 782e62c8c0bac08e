"""The exporter at work: the current settings with their clients and scraper, exchanged as one when a file changes."""

import asyncio
import math
import operator
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from . import __version__, collectors, figures, thresholds
from .clients import open_clients
from .clients.files import statvfs
from .config import Loaded, Protection, Reading, Target
from .config.settings import Own, Settings
from .errors import ConfigError, Fault
from .metric import Metric, Sample
from .scrape import Memory, Scraper, Snapshot
from .thresholds import Threshold

BUILD = Metric("blnk_exporter_build_info", "Always 1; which exporter this is.", ("version", "python"))
RELOADED = Metric(
    "blnk_exporter_config_last_reload_successful",
    "Whether the configuration was valid when it was last read; 0 means that the one before it is still in force.",
)
RELOADED_AT = Metric(
    "blnk_exporter_config_last_reload_success_timestamp_seconds", "When the configuration in force was read."
)
TURNED_AWAY = Metric(
    "blnk_exporter_web_turned_away_total",
    "Clients of the exporter's own pages that got none, since it started: tls is a handshake that failed or took too long, "
    "certificate one without a name that may, credentials wrong ones, rate too many requests or wrong credentials, "
    "connections more than limits.connections.",
    ("reason",),
)
TARGETS = Metric(
    "blnk_exporter_targets",
    "How many deployments the configuration names under targets; absent where it names none and watches one Blnk.",
)
LINES_DROPPED = Metric(
    "blnk_exporter_log_lines_dropped_total",
    "Log lines that could not be written: the disk is full, or whatever reads standard error is gone or too slow.",
)
METRICS = (BUILD, RELOADED, RELOADED_AT, TURNED_AWAY, TARGETS, LINES_DROPPED)


@dataclass
class _Generation:
    """One configuration and what was built from it; ``users`` are the scrapes that still need it."""

    loaded: Loaded
    scraper: Scraper
    stack: AsyncExitStack
    reading: Reading
    limits: Mapping[str, Threshold]
    read_at: float
    present: frozenset[Path]
    """Those of its files that were there when it was built."""
    users: set[object] = field(default_factory=set)
    unused: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def in_use(self) -> Iterator[Scraper]:
        """The scraper, for as long as a scrape lasts."""
        user = object()
        self.users.add(user)
        self.unused.clear()
        try:
            yield self.scraper
        finally:
            self.users.discard(user)
            if not self.users:
                self.unused.set()

    async def leave(self) -> None:
        """Let the scrapes that still use this configuration finish, then close its connections."""
        try:
            if self.users:
                await self.unused.wait()
            await self.scraper.settled()
        finally:
            await self.close()

    async def close(self) -> None:
        """Close its connections at once."""
        await self.scraper.close()
        await self.stack.aclose()


class Service:
    """Scrapes with the configuration in force, and takes up a new one when one of its files has changed.

    ``load`` reads the configuration and raises ConfigError. Secrets in files are part of it: a rotated password
    is a changed file. ``name`` is what the log calls it, where there are several.
    """

    def __init__(
        self,
        load: Callable[[], Loaded],
        *,
        name: str | None = None,
        statvfs: Callable[[str], os.statvfs_result] = statvfs,
    ) -> None:
        self._load = load
        self._context = {"target": name} if name else {}
        self._statvfs = statvfs
        self._log = structlog.get_logger()
        self._now: _Generation | None = None
        self.memory = Memory()
        """What a new configuration does not change."""
        self._remembered: dict[str, Any] = {}
        self.reload_faults = ""
        """What is wrong with the configuration that its files hold; empty where that is the one in force."""
        self._exchange = asyncio.Lock()
        self._leaving: dict[asyncio.Task[None], _Generation] = {}
        self.turned_away = dict.fromkeys(("tls", "certificate", "credentials", "rate", "connections"), 0)
        """How many clients of the web endpoint, by reason."""
        self._ends_at = math.inf
        self.log_lines_dropped: Callable[[], int] | None = None
        """How many lines of the log were lost; None where this service does not know the log."""
        self.scraped = asyncio.Event()
        """Set once a scrape has completed, whatever it found."""

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._generation.loaded.settings

    @property
    def protection(self) -> Protection:
        """What is asked of the clients of the web endpoint."""
        return self._generation.loaded.protection

    @property
    def targets(self) -> Mapping[str, Target]:
        """The deployments that have a service of their own; with any, this one watches none."""
        return self._generation.loaded.targets

    @property
    def limits(self) -> Mapping[str, Threshold]:
        """The limits that the page and the runbooks go by."""
        return self._generation.limits

    @property
    def scraper(self) -> Scraper:
        """The scraper in force."""
        return self._generation.scraper

    @property
    def _generation(self) -> _Generation:
        if self._now is None:
            raise RuntimeError("the service has not been started")
        return self._now

    async def start(self) -> None:
        """Read the configuration and build everything; raises ConfigError. Connects to nothing."""
        self._now = await self._build(Reading.of(self._load))

    async def scrape(
        self,
        *,
        budget_seconds: float,
        kept_seconds: float = 0.0,
        collect: Iterable[str] = (),
        exclude: Iterable[str] = (),
    ) -> Snapshot:
        """One scrape, after a look whether a file of the configuration has changed; raises UnknownCollector."""
        await self.refresh()
        with self._generation.in_use() as scraper, bound_contextvars(**self._context):
            # Only now: a changed configuration may have other collectors.
            names = scraper.select(collect, exclude)
            snapshot = await scraper.scrape(budget_seconds=budget_seconds, kept_seconds=kept_seconds, names=names)
        self._remember(snapshot)
        self.scraped.set()
        return snapshot

    async def refresh(self) -> None:
        """Read the configuration again if one of its files has changed."""
        if self._generation.reading.has_changed:
            await self.reload(only_if_changed=True)

    async def take(self, load: Callable[[], Loaded]) -> bool:
        """Go on with another configuration than until now, unless it is faulty, which False says."""
        self._load = load
        return await self.reload()

    async def reload(self, *, only_if_changed: bool = False) -> bool:
        """Read the configuration again; a faulty one leaves the old one in force, and False says so."""
        async with self._exchange:
            return await self._reload(only_if_changed=only_if_changed)

    async def _reload(self, *, only_if_changed: bool) -> bool:
        with bound_contextvars(**self._context):
            old = self._generation
            if only_if_changed and not old.reading.has_changed:
                # Another scrape saw it first.
                return not self.reload_faults
            reading = Reading.of(self._load, old.loaded.files)
            try:
                self._now = await self._build(reading, needed=old.present)
            except ConfigError as error:
                # Not read again before the next change of a file that matters now: one fault, one line.
                old.reading = reading
                self.reload_faults = "; ".join(map(str, error.faults))
                self._log.error("configuration not reloaded", faults=self.reload_faults)
                return False
            self.reload_faults = ""
            self._log.info("configuration reloaded")
            self._warn_of_restart(old.loaded.settings.own, self.settings.own)
            task = asyncio.create_task(old.leave())
            self._leaving[task] = old
            task.add_done_callback(self._leaving.pop)
            return True

    @property
    def stopping(self) -> bool:
        """Whether the process is about to end."""
        return self._ends_at < math.inf

    def stop(self, at: float) -> None:
        """Answer scrapes, also those to come, with what has been read by this time of the loop's clock."""
        self._ends_at = at
        for generation in (self._generation, *self._leaving.values()):
            generation.scraper.stop(at)

    def samples(self, snapshot: Snapshot) -> Iterator[Sample]:
        """Everything for the page."""
        yield from BUILD(1, version=__version__, python=platform.python_version())
        yield from RELOADED(not self.reload_faults)
        yield from RELOADED_AT(self._generation.read_at)
        if self.targets:
            yield from TARGETS(len(self.targets))
        for reason, count in self.turned_away.items():
            yield from TURNED_AWAY(count, reason=reason)
        if self.log_lines_dropped:
            yield from LINES_DROPPED(self.log_lines_dropped())
        yield from snapshot.samples()

    def _remember(self, snapshot: Snapshot) -> None:
        """The key figures of the collectors that this scrape has read."""
        outcomes = {outcome.collector.name: outcome for outcome in snapshot.outcomes if not outcome.cut_short}
        if not outcomes:
            return
        if ledger := outcomes.get("ledger"):
            self.memory.flow.note(ledger)
        # A scrape is given nothing older than it may be.
        whole = dict.fromkeys(outcomes, True)
        taken = figures.take(outcomes, whole, self.limits, at=snapshot.at, flow=self.memory.flow)
        read_at = {name: outcome.finished_at for name, outcome in outcomes.items()}
        self.memory.history.note(snapshot.at, taken, read_at)
        self.memory.scraped_at = snapshot.at

    async def close(self) -> None:
        """Close every connection."""
        for task, old in [*self._leaving.items()]:
            task.cancel()
            await asyncio.wait([task])
            # Again: a task that is cancelled before its first step does not even clean up.
            await old.close()
        if self._now:
            await self._now.close()

    def _warn_of_restart(self, old: Own, new: Own) -> None:
        restart = ("web.listen_address", "web.telemetry_path", "web.external_url", "web.route_prefix", "log")
        for setting in restart:
            look = operator.attrgetter(setting)
            if look(old) != look(new):
                self._log.warning("a change that takes a restart", setting=setting)

    async def _build(self, reading: Reading, *, needed: frozenset[Path] = frozenset()) -> _Generation:
        loaded = reading.found
        if isinstance(loaded, ConfigError):
            raise loaded
        # A file that need not be there, and was, is not left out by accident: without it other logins may be used.
        if gone := [path for path in needed.intersection(loaded.files) if not path.exists()]:
            raise ConfigError(Fault(str(path), "was read and is gone; to go on without it, restart") for path in gone)
        limits = thresholds.of(loaded.thresholds)
        stack = AsyncExitStack()
        clients = await stack.enter_async_context(
            open_clients(loaded.settings, statvfs=self._statvfs, remembered=self._remembered)
        )
        # Beside targets there is nothing to watch: this machine's own host is none of theirs.
        rooms = () if loaded.targets else collectors.bind(clients)
        scraper = Scraper(rooms, known=() if loaded.targets else collectors.NAMES, memory=self.memory)
        if self.stopping:
            scraper.stop(self._ends_at)
        return _Generation(loaded, scraper, stack, reading, limits, time.time(), reading.present)
