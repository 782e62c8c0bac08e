"""Who gets a page: names in certificates, credentials and rates, as the protection in force asks."""

import asyncio
import base64
import binascii
import hmac
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from weakref import WeakSet

from aiohttp import web

from ..config import Protection
from ..config.tls import plain_name
from ..formats import password
from ..service import Service
from . import health
from .connection import network

# So many wrong credentials an address may send at once, and one more after each time.
_WRONG_BURST, _WRONG_SECONDS = 10, 6.0
# Further ones push out the address that was silent longest.
_ADDRESSES_MAX = 1024
# Comparing takes 50 ms or more; who comes when so many wait comes again later.
_WAITING_MAX = 8
_RIGHT_MAX = 64


@dataclass
class _Bucket:
    """A rate: ``burst`` at once, and one more after each ``interval_seconds``."""

    interval_seconds: float
    burst: int
    taken: float = 0.0
    at: float = -math.inf

    def take(self, now: float) -> float:
        """0 for who may go on, otherwise after how many seconds the next one may."""
        self.taken = max(0.0, self.taken - (now - self.at) / self.interval_seconds)
        self.at = now
        if self.taken > self.burst - 1:
            return (self.taken - self.burst + 1) * self.interval_seconds
        self.taken += 1
        return 0.0

    def give_back(self) -> None:
        """As though the last one had not been."""
        self.taken = max(0.0, self.taken - 1)


def is_open(request: web.Request) -> bool:
    """Tell whether a page needs no credentials unless protect_health says so: the machine itself asks for it."""
    return request.match_info.handler in {health.healthy, health.ready}


class Guard:
    """Stands in front of every page.

    Credentials that were right are remembered as a keyed digest, for as long as users and token stay what they are: an
    honest scraper costs no comparison, and on a connection that has had a page it is not hindered by who guesses beside
    it. Everything else counts as a guess, the right one too: or the answer would tell which it was.
    """

    def __init__(self, service: Service, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._clock = clock
        self._key = secrets.token_bytes()
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._known_wrong: OrderedDict[bytes, None] = OrderedDict()
        self._at_home: WeakSet[asyncio.BaseTransport] = WeakSet()
        """Connections that have had a page with credentials that were right."""
        self._asked: dict[bytes, asyncio.Future[bool]] = {}
        self._wrong: OrderedDict[str, _Bucket] = OrderedDict()
        self._all = _Bucket(0.0, 1)
        self._protection: Protection | None = None
        self._comparing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bcrypt")

    async def refusal(self, request: web.Request) -> web.Response | None:
        """The answer for who gets no page; None for who does."""
        protection = self._service.protection
        self._take_up(protection)
        if is_open(request) and not protection.protect_health:
            return None
        if protection.request_interval_seconds and (seconds := self._all.take(self._clock())):
            return self._too_many("requests", seconds)
        if protection.tls and protection.tls.trust and protection.tls.trust != _trust(request):
            # From before clients needed a certificate, or one of this authority.
            self._service.turned_away["certificate"] += 1
            return web.Response(status=403, text="the connection is older than what is asked of it; connect anew\n")
        if protection.allowed_names and not protection.allowed_names & _names(request):
            self._service.turned_away["certificate"] += 1
            return web.Response(status=403, text="the client's certificate has none of client_allowed_sans\n")
        if not protection.asks_for_credentials:
            return None
        return await self._judge(request, protection)

    def close(self) -> None:
        """Compare no more."""
        self._comparing.shutdown(wait=False, cancel_futures=True)

    def _take_up(self, protection: Protection) -> None:
        """Forget what was right under another protection."""
        if protection is self._protection:
            return
        old, self._protection = self._protection, protection
        if old is None or (old.users, old.bearer_token) != (protection.users, protection.bearer_token):
            self._right.clear()
            self._known_wrong.clear()
            self._at_home.clear()
            # Who came with the new ones too early has guessed nothing.
            self._wrong.clear()
        rate = protection.request_interval_seconds, protection.request_burst
        if rate != (self._all.interval_seconds, self._all.burst):
            self._all = _Bucket(*rate)

    async def _judge(self, request: web.Request, protection: Protection) -> web.Response | None:
        given = request.headers.get("Authorization")
        if given is None:
            # A browser's first request; it asks its user now.
            return _unauthorized(protection)
        digest = hmac.digest(self._key, given.encode("utf-8", "surrogateescape"), "sha256")
        if digest in self._right and request.transport in self._at_home:
            return None
        if digest in self._known_wrong:
            # The same wrong words again are no new guess, and need no comparison.
            right = False
        elif asked := self._asked.get(digest):
            # The same words as somebody's just now, who has paid for them.
            right = await asyncio.shield(asked)
        else:
            bucket = self._bucket(network(request.remote or ""))
            if seconds := bucket.take(self._clock()):
                return self._too_many("wrong credentials", seconds)
            login = _login(given) if protection.users else None
            right = digest in self._right or _is_token(given, protection)
            if not right and login and len(self._asked) >= _WAITING_MAX:
                bucket.give_back()
                return self._too_many("logins", 1.0)
            right = right or bool(login and await self._is_right(digest, *login, protection))
            if right:
                bucket.give_back()
        return self._decide(request, digest, protection, right=right)

    def _decide(
        self, request: web.Request, digest: bytes, protection: Protection, *, right: bool
    ) -> web.Response | None:
        """Let in, and remember, who was right."""
        current = protection is self._protection
        if not right:
            self._service.turned_away["credentials"] += 1
            if current:
                _remember(digest, self._known_wrong, _ADDRESSES_MAX)
            return _unauthorized(protection)
        if current:
            _remember(digest, self._right, _RIGHT_MAX)
            if request.transport:
                self._at_home.add(request.transport)
        return None

    async def _is_right(self, digest: bytes, user: str, word: str, protection: Protection) -> bool:
        """Whether that is the user's password. An unknown user takes as long as the one whose hash is dearest."""
        users = protection.users
        hashed = users.get(user) or password.nobodys(max(map(password.cost, users.values())))
        asked = asyncio.get_running_loop().run_in_executor(self._comparing, password.matches, word, hashed)
        self._asked[digest] = asked
        asked.add_done_callback(lambda _: self._compared(digest, asked, protection))
        return await asyncio.shield(asked)

    def _compared(self, digest: bytes, asked: asyncio.Future[bool], protection: Protection) -> None:
        """Remember the verdict before it is forgotten that it was asked for: a request between would compare again."""
        del self._asked[digest]
        if protection is self._protection and not asked.cancelled() and asked.exception() is None:
            right = asked.result()
            _remember(digest, self._right if right else self._known_wrong, _RIGHT_MAX if right else _ADDRESSES_MAX)

    def _bucket(self, address: str) -> _Bucket:
        bucket = self._wrong.setdefault(address, _Bucket(_WRONG_SECONDS, _WRONG_BURST))
        self._wrong.move_to_end(address)
        while len(self._wrong) > _ADDRESSES_MAX:
            self._wrong.popitem(last=False)
        return bucket

    def _too_many(self, what: str, seconds: float) -> web.Response:
        self._service.turned_away["rate"] += 1
        after = {"Retry-After": str(math.ceil(seconds))}
        return web.Response(status=429, headers=after, text=f"too many {what}; try again in {math.ceil(seconds)} s\n")


def _remember(digest: bytes, memory: OrderedDict[bytes, None], most: int) -> None:
    memory[digest] = None
    while len(memory) > most:
        memory.popitem(last=False)


def _unauthorized(protection: Protection) -> web.Response:
    reply = web.Response(status=401, text="credentials are missing or wrong\n")
    for scheme in ("Basic",) * bool(protection.users) + ("Bearer",) * bool(protection.bearer_token):
        reply.headers.add("WWW-Authenticate", f'{scheme} realm="blnk-exporter"')
    return reply


def _is_token(given: str, protection: Protection) -> bool:
    scheme, _, token = given.partition(" ")
    if scheme.lower() != "bearer" or protection.bearer_token is None:
        return False
    expected = protection.bearer_token.get_secret_value().encode()
    return hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), expected)


def _login(given: str) -> tuple[str, str] | None:
    """User and password of a Basic header; None if it is none."""
    scheme, _, encoded = given.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, word = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (user, word) if colon else None


def _trust(request: web.Request) -> object:
    """Whom the connection was made to let in."""
    tls = request.transport.get_extra_info("ssl_object") if request.transport else None
    return getattr(tls.context, "trust", None) if tls else None


def _names(request: web.Request) -> frozenset[str]:
    """The subject alternative names of the client's certificate, which TLS has verified."""
    certificate = request.transport.get_extra_info("peercert") if request.transport else None
    return frozenset(plain_name(name) for _, name in (certificate or {}).get("subjectAltName", ()))
