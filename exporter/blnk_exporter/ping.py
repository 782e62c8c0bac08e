"""Ask an exporter on this machine whether it is alive: the health check of a container.

It runs every half minute under the container's limits, so that it imports no module that it can do without.
"""

import http.client
import os
import ssl
import sys
import time

from .config import listening
from .config.listening import Listening

TIMEOUT_SECONDS = 3.0


def main() -> int:
    """Print why no exporter is alive where the environment says that it listens; return the exit status."""
    try:
        where = listening.find(os.environ, {})
        failure = ask(where, timeout_seconds=TIMEOUT_SECONDS)
    except ValueError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201 - without click
        return 1
    if failure:
        print(f"Error: {where.address}: {failure}", file=sys.stderr)  # noqa: T201 - without click
    return 1 if failure else 0


def ask(where: Listening, *, timeout_seconds: float) -> str | None:
    """Return why no healthy exporter answers there; None when one does.

    The scheme that the configuration names is tried first and the other one next: a restart may be due.
    """
    until = time.monotonic() + timeout_seconds
    failure = _ask(where, tls=where.tls, timeout_seconds=timeout_seconds)
    left = until - time.monotonic()
    return failure if failure is None or left <= 0 else _ask(where, tls=not where.tls, timeout_seconds=left) and failure


def _ask(where: Listening, *, tls: bool, timeout_seconds: float) -> str | None:
    # An exporter that listens on every interface is asked on loopback.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(where.host, where.host)
    connection = http.client.HTTPConnection(host, where.port, timeout=timeout_seconds)
    if tls:
        # It is this machine that is asked, under a name that no certificate has, and no secret is sent.
        unverified = ssl._create_unverified_context()  # noqa: S323, SLF001 - ssl has no public name for it
        connection = http.client.HTTPSConnection(host, where.port, timeout=timeout_seconds, context=unverified)
    greeted = False
    try:
        connection.connect()
        greeted = tls
        connection.request("GET", f"{where.prefix}/-/healthy")
        response = connection.getresponse()
        status = response.status
        # The prefix in the file may be newer than the process, which keeps its own until it is restarted.
        is_ours = response.getheader("Server") == "blnk-exporter"
    except (ConnectionResetError, ssl.SSLEOFError) as error:
        # A server that returns our greeting and then hangs up, for want of a certificate of ours, is alive.
        return None if greeted else str(error) or "hangs up"
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    except (http.client.HTTPException, ValueError) as error:
        return f"answers no HTTP: {type(error).__name__}"
    finally:
        connection.close()
    return None if status in {200, 401, 403, 429} or (status == 404 and is_ours) else f"answers {status}"
