"""Plain GET requests to Blnk's own endpoints: one fresh connection each, bounded in time and bytes."""

import time
from dataclasses import dataclass

import aiohttp

from ..errors import Malformed, Refused, TimedOut, Unreachable
from . import tls


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What came back; ``body`` is None when it is longer than the limit."""

    status: int
    body: bytes | None
    elapsed_seconds: float


class HttpTarget:
    """One base URL, named by its ``host:port``."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, *, timeout_seconds: float, response_bytes: int
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._response_bytes = response_bytes
        self.address = self._url.partition("://")[2]

    async def get(self, path: str) -> HttpReply:
        """Raises Unreachable, Refused (certificate), TimedOut or Malformed (not HTTP)."""
        started = time.monotonic()
        try:
            async with self._session.get(self._url + path, timeout=self._timeout, allow_redirects=False) as response:
                body = await _read(response, self._response_bytes)
                return HttpReply(response.status, body, time.monotonic() - started)
        except aiohttp.ClientConnectorCertificateError as error:
            raise Refused(f"the certificate is not trusted: {error.certificate_error}") from None
        except TimeoutError:
            raise TimedOut(f"no answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError, OSError) as error:
            raise tls.failure(error) or Unreachable.because(error) from None
        except (aiohttp.ClientError, ValueError) as error:
            raise Malformed(f"not an HTTP answer: {type(error).__name__}") from None


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def open_session() -> aiohttp.ClientSession:
    """A session that remembers nothing: no cookies, no proxies of the environment, no connection kept."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            force_close=True,
            ssl=tls.verifying(),
            limit=0,
            ttl_dns_cache=None,
            use_dns_cache=False,
            resolver=aiohttp.ThreadedResolver(),  # it asks the loop, whose look-ups threads.py bounds
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "blnk-exporter", "Accept": "application/json", "Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
    )
