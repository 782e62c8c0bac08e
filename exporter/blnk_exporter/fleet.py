"""Several deployments of Blnk behind one exporter: a service for each of ``targets``, made when it is first asked for."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from .config import Target
from .errors import ConfigError, UnknownTarget
from .service import Service

_NAMED_MAX = 50


@dataclass
class _Kept:
    """A target as it was when its service last took it up."""

    target: Target
    service: Service


class Fleet:
    """The targets of a service's configuration. One whose own configuration is faulty costs the others nothing."""

    def __init__(self, root: Service) -> None:
        self._root = root
        self._kept: dict[str, _Kept] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._ends_at = math.inf
        self.faults: dict[str, str] = {}
        """Of those that cannot be watched."""
        self._log = structlog.get_logger()

    @property
    def targets(self) -> Mapping[str, Target]:
        """By name, in the order of the file; empty where the exporter watches one Blnk."""
        return self._root.targets

    @property
    def services(self) -> Mapping[str, Service]:
        """Those that have been made, by name."""
        return {name: kept.service for name, kept in self._kept.items() if name in self.targets}

    async def find(self, name: str) -> Service:
        """The service of a target; raises UnknownTarget, or ConfigError while its configuration is faulty."""
        await self._forget()
        self._target(name)
        async with self._turns[name]:
            target = self._target(name)
            kept = self._kept.get(name)
            if kept is None:
                kept = self._kept[name] = _Kept(target, await self._made(target))
            elif kept.target is not target:
                # The file has been read again. What has been counted and remembered stays.
                if kept.target != target:
                    await self._change(kept, target)
                kept.target = target
            return kept.service

    async def _change(self, kept: _Kept, target: Target) -> None:
        """Go on with what the file says now. Of one that is faulty now the old figures would go under the new labels."""
        try:
            target.read()
        except ConfigError as error:
            await self._kept.pop(target.name).service.close()
            self._tell(target, error)
            raise
        await kept.service.take(target.read)

    async def look_at_all(self) -> None:
        """Make every service, so that whatever is faulty is in the log before the first scrape comes."""
        for name in [*self.targets]:
            try:
                await self.find(name)
            except (ConfigError, UnknownTarget):
                continue
            finally:
                # Others want their turn: each reads a file or two.
                await asyncio.sleep(0)

    def stop(self, at: float) -> None:
        """Answer scrapes of every target, and of the exporter itself, with what has been read by this time."""
        self._ends_at = at
        for service in (self._root, *(kept.service for kept in self._kept.values())):
            service.stop(at)

    async def close(self) -> None:
        """Close every connection."""
        for kept in self._kept.values():
            await kept.service.close()
        self._kept.clear()

    def _target(self, name: str) -> Target:
        try:
            return self.targets[name]
        except KeyError:
            raise UnknownTarget(f"no target is called {name[:100]!r}; {self.known()}") from None

    def known(self) -> str:
        """The names that there are, in a sentence."""
        names = [*self.targets]
        if not names:
            return "this exporter has no targets: it watches one Blnk, whose page is /metrics"
        more = f" and {len(names) - _NAMED_MAX} more (see /sd)" if len(names) > _NAMED_MAX else ""
        return f"there are {', '.join(names[:_NAMED_MAX])}{more}"

    async def _made(self, target: Target) -> Service:
        service = Service(target.read, name=target.name)
        # Whom the endpoint turns away is told once, on the exporter's own page.
        service.turned_away.clear()
        try:
            await service.start()
        except ConfigError as error:
            self._tell(target, error)
            raise
        self.faults.pop(target.name, None)
        if self._ends_at < math.inf:
            service.stop(self._ends_at)
        return service

    def _tell(self, target: Target, error: ConfigError) -> None:
        """One fault, one line."""
        faults = "; ".join(map(str, error.faults))
        if self.faults.get(target.name) != faults:
            self.faults[target.name] = faults
            self._log.error("target cannot be watched", target=target.name, faults=faults)

    async def _forget(self) -> None:
        """Leave the targets that are no longer there."""
        # One after the other as they are found: others look at the same time, while each is closed.
        while (gone := next((name for name in self._kept if name not in self.targets), None)) is not None:
            await self._kept.pop(gone).service.close()
            self._turns.pop(gone, None)
            self.faults.pop(gone, None)
