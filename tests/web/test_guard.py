"""Who gets a page. bcrypt is counted, not timed; what its cost is stands in the hash."""

import asyncio
import base64
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
import pytest_asyncio
import yaml

from blnk_exporter.formats import password
from blnk_exporter.web.guard import _Bucket

from .conftest import Stage, _rooms, staged

WORD = "c0rrect:horse ☂"
HASHES = {"alice": bcrypt.hashpw(WORD.encode(), bcrypt.gensalt(4)).decode(), "dear": password.nobodys(6)}
TOKEN = "0123456789abcdef"
ALICE = f"Basic {base64.b64encode(f'alice:{WORD}'.encode()).decode()}"


def basic(user: str, word: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{word}'.encode()).decode()}"


@dataclass
class Gate:
    """A protected stage, and the hashes that something was compared with."""

    stage: Stage
    file: Path
    compared: list[str] = field(default_factory=list)

    async def get(self, given: str | None = None, path: str = "/metrics") -> tuple[int, dict[str, str], str]:
        """Ask for a page with this Authorization."""
        headers = {"Authorization": given} if given is not None else {}
        async with self.stage.session.get(self.stage.url + path, headers=headers) as reply:
            return reply.status, dict(reply.headers), await reply.text()

    async def status(self, given: str | None = None, path: str = "/metrics") -> int:
        """The same, when only that matters."""
        return (await self.get(given, path))[0]

    def write(self, **content: Any) -> None:
        """Exchange the web configuration, in one step as an operator's tools do."""
        beside = self.file.with_suffix(".new")
        beside.write_text(yaml.safe_dump(content))
        beside.replace(self.file)

    @property
    def turned_away(self) -> dict[str, int]:
        """What is counted, without zeros."""
        return {reason: count for reason, count in self.stage.service.turned_away.items() if count}


@pytest_asyncio.fixture
async def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[Gate]:
    """With two users and a token, or what an indirect parameter says."""
    file, compared = tmp_path / "web.yml", []
    (tmp_path / "token").write_text(TOKEN)
    content = getattr(request, "param", {"basic_auth_users": HASHES, "bearer_token_file": "token"})
    file.write_text(yaml.safe_dump(content))
    matches = password.matches
    monkeypatch.setattr(password, "matches", lambda word, hashed: compared.append(hashed) or matches(word, hashed))
    opened = asyncio.Event()
    opened.set()
    flags = {"servers": "http://127.0.0.1:1", "web.config_file": "web.yml"}
    async with staged(tmp_path, _rooms([], opened), flags, [], opened) as stage:
        yield Gate(stage, file, compared)


@pytest.mark.parametrize("given", [ALICE, ALICE.replace("Basic ", "bAsIc  "), f"Bearer {TOKEN}", f"bearer {TOKEN} "])
async def test_right_credentials_open(gate: Gate, given: str) -> None:
    """Of user and token either does; a scheme is written as one likes."""
    status, _, body = await gate.get(given)
    assert status == 200
    assert "blnk_exporter_build_info" in body
    assert gate.turned_away == {}


@pytest.mark.parametrize(
    "given",
    [
        basic("alice", "wrong"), basic("alice", ""), basic("", WORD), basic("dear", WORD), basic("nobody", WORD),
        "Basic", "Basic ", "Basic !!!", "Basic " + base64.b64encode(b"alice").decode(), "Basic " + base64.b64encode(b"\xff:x").decode(),
        "Bearer", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}0", f"Token {TOKEN}", TOKEN, "", "Bearer \udcff",
    ],
)  # fmt: skip
async def test_wrong_credentials_do_not(gate: Gate, given: str) -> None:
    """Whatever is wrong with them, the answer is one and the same."""
    status, headers, body = await gate.get(given)
    assert (status, body) == (401, "credentials are missing or wrong\n")
    assert 'realm="blnk-exporter"' in headers["WWW-Authenticate"]
    assert gate.turned_away == {"credentials": 1}


async def test_missing_credentials_are_asked_for(gate: Gate) -> None:
    """A browser's first request; that is no guess, and not counted as one."""
    async with gate.stage.session.get(f"{gate.stage.url}/") as reply:
        assert reply.status == 401
        asked = reply.headers.getall("WWW-Authenticate")
    assert asked == ['Basic realm="blnk-exporter"', 'Bearer realm="blnk-exporter"']
    assert gate.turned_away == {}


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/runbooks/", "/runbooks/x", "/nowhere", "/-/healthy/", "//-/healthy"]
)
async def test_no_page_is_forgotten(gate: Gate, path: str) -> None:
    """Nor can be told from outside which there are."""
    assert await gate.status(path=path) == 401


async def test_health_is_open_until_it_is_not(gate: Gate) -> None:
    """Supervisors have no password."""
    assert await gate.status(path="/-/healthy") == 200
    gate.write(bearer_token_file="token", protect_health=True)
    assert await gate.status(path="/-/healthy") == 401
    assert await gate.status(path="/-/ready") == 401
    assert await gate.status(f"Bearer {TOKEN}", path="/-/healthy") == 200


async def test_an_unknown_user_costs_what_the_dearest_costs(gate: Gate) -> None:
    """Nobody learns from the time which names there are; who is known is compared with his own hash, once."""
    for user in ("nobody", "alice", "dear"):
        assert await gate.status(basic(user, "wrong")) == 401
    assert gate.compared == [password.nobodys(6), HASHES["alice"], HASHES["dear"]]


async def test_right_credentials_are_compared_once(gate: Gate) -> None:
    """A scrape each few seconds costs no bcrypt."""
    for _ in range(5):
        assert await gate.status(ALICE) == 200
    assert gate.compared == [HASHES["alice"]]


async def test_who_guesses_is_stopped_and_hinders_nobody(gate: Gate) -> None:
    """After ten; what was right before goes on from the same address, and no comparison is made for the rest."""
    assert await gate.status(ALICE) == 200
    assert await gate.status(f"Bearer {TOKEN}") == 200
    for n in range(10):
        assert await gate.status(basic("alice", f"guess {n}")) == 401
    compared = len(gate.compared)
    status, headers, body = await gate.get(basic("alice", "guess 10"))
    assert status == 429
    assert 1 <= int(headers["Retry-After"]) <= 6
    assert body.startswith("too many wrong credentials; try again in ")
    assert len(gate.compared) == compared
    assert await gate.status(ALICE) == 200
    assert await gate.status(f"Bearer {TOKEN}") == 200
    assert gate.turned_away == {"credentials": 10, "rate": 1}


async def test_the_right_guess_is_no_better_than_the_others(gate: Gate) -> None:
    """Once an address is stopped nothing tells it whether it has found the password, or the token."""
    for n in range(10):
        assert await gate.status(basic("alice", f"guess {n}")) == 401
    assert await gate.status(ALICE) == 429
    assert await gate.status(f"Bearer {TOKEN}") == 429


async def test_a_new_connection_is_no_way_to_guess(gate: Gate) -> None:
    """The scraper's own goes on; another one from its address learns nothing, not even from what was right there before."""
    assert await gate.status(ALICE) == 200
    for n in range(10):
        assert await gate.status(basic("alice", f"guess {n}")) == 401
    assert await gate.status(ALICE) == 200
    async with aiohttp.ClientSession() as stranger:
        for given in (ALICE, basic("alice", "guess 10"), f"Bearer {TOKEN}"):
            async with stranger.get(f"{gate.stage.url}/metrics", headers={"Authorization": given}) as reply:
                assert reply.status == 429


async def test_forty_scrapers_start_at_once(gate: Gate) -> None:
    """As a Prometheus with many targets does: the same words are compared once."""
    assert set(await asyncio.gather(*(gate.status(ALICE) for _ in range(40)))) == {200}
    assert gate.compared == [HASHES["alice"]]


async def test_who_came_too_early_with_the_new_token_is_let_in_with_it(gate: Gate) -> None:
    """Scrapers may have been told before the exporter; their tries were no guesses."""
    for _ in range(12):
        await gate.status("Bearer fedcba9876543210")
    (gate.file.parent / "new").write_text("fedcba9876543210")
    (gate.file.parent / "new").replace(gate.file.parent / "token")
    assert await gate.status("Bearer fedcba9876543210") == 200


async def test_the_same_wrong_words_are_one_guess(gate: Gate) -> None:
    """A scraper with an old password neither costs comparisons nor keeps others of its address out."""
    for _ in range(30):
        assert await gate.status(basic("alice", "old")) == 401
    assert len(gate.compared) == 1
    assert await gate.status(ALICE) == 200


async def test_few_wait_for_a_comparison(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """One at a time; who comes when eight wait is sent away at once, and that is no guess."""
    assert await gate.status(f"Bearer {TOKEN}") == 200
    go, begun = threading.Event(), threading.Event()
    monkeypatch.setattr(password, "matches", lambda *_: begun.set() or go.wait(10))
    waiting = [asyncio.create_task(gate.status(basic("alice", f"{n}"))) for n in range(8)]
    try:
        await asyncio.to_thread(begun.wait, 10)
        async with asyncio.timeout(10):
            while await gate.status(basic("alice", "one more")) != 429:
                pass
        assert await gate.status(f"Bearer {TOKEN}") == 200
    finally:
        go.set()
    assert set(await asyncio.gather(*waiting)) == {200}


async def test_changed_users_count_at_once(gate: Gate) -> None:
    """Who was let in before is asked anew: he may have been struck off."""
    assert await gate.status(ALICE) == 200
    gate.write(basic_auth_users={"bob": HASHES["alice"]})
    assert await gate.status(ALICE) == 401
    assert await gate.status(basic("bob", WORD)) == 200


async def test_a_rotated_token_counts_at_once(gate: Gate) -> None:
    """The old one no more."""
    (gate.file.parent / "new").write_text("fedcba9876543210\n")
    (gate.file.parent / "new").replace(gate.file.parent / "token")
    assert await gate.status("Bearer fedcba9876543210") == 200
    assert await gate.status(f"Bearer {TOKEN}") == 401


async def test_a_faulty_change_leaves_the_doors_as_they_were(gate: Gate) -> None:
    """And tells Prometheus, which still gets in; nobody else does."""
    gate.write(basic_auth_users={"alice": "plain text"})
    assert await gate.status() == 401
    status, _, body = await gate.get(ALICE)
    assert status == 200
    assert "blnk_exporter_config_last_reload_successful 0.0" in body
    gate.file.unlink()
    assert await gate.status() == 401


@pytest.mark.parametrize("gate", [{"http_server_config": {"headers": {"Strict-Transport-Security": "max-age=9", "Content-Security-Policy": "default-src 'none'"}}}], indirect=True)  # fmt: skip
async def test_headers_stand_on_every_answer(gate: Gate) -> None:
    """In place of our own, if there is one of that name."""
    for path in ("/metrics", "/nowhere", "/-/healthy"):
        _, headers, _ = await gate.get(path=path)
        assert headers["Strict-Transport-Security"] == "max-age=9"
        assert headers["Content-Security-Policy"] == "default-src 'none'"
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("gate", [{"rate_limit": {"interval": "1h", "burst": 2}}], indirect=True)
async def test_requests_beyond_the_rate_are_turned_away(gate: Gate) -> None:
    """All but those of supervisors."""
    assert [await gate.status() for _ in range(3)] == [200, 200, 429]
    assert await gate.status(path="/-/healthy") == 200
    assert gate.turned_away == {"rate": 1}


async def test_what_was_turned_away_is_a_metric(gate: Gate) -> None:
    """With each reason from the start, so that the first one is an increase."""
    _, _, body = await gate.get(ALICE)
    lines = [line for line in body.splitlines() if line.startswith("blnk_exporter_web_turned_away_total{")]
    assert [line.rpartition(" ")[2] for line in lines] == ["0.0"] * 5
    await gate.get("Basic x")
    assert 'turned_away_total{reason="credentials"} 1.0' in (await gate.get(ALICE))[2]


def test_a_bucket() -> None:
    """Two at once, then one each five seconds, never more than two for having waited."""
    bucket = _Bucket(5.0, 2)
    assert [bucket.take(100.0), bucket.take(100.0)] == [0, 0]
    assert bucket.take(100.0) == pytest.approx(5.0)
    assert bucket.take(103.0) == pytest.approx(2.0)
    assert [bucket.take(105.0), bucket.take(105.0)] == [0, pytest.approx(5.0)]
    assert [bucket.take(999.0), bucket.take(999.0)] == [0, 0]
    assert bucket.take(999.0) > 0
    bucket.give_back()
    assert bucket.take(999.0) == 0


async def test_addresses_are_remembered_in_bounds(gate: Gate) -> None:
    """A thousand; who was silent longest is forgotten first."""
    from blnk_exporter.web.app import _GUARD  # noqa: PLC0415

    guard = gate.stage.app[_GUARD]
    for n in range(3000):
        guard._bucket(f"address {n}")
    assert len(guard._wrong) == 1024
    assert "address 2999" in guard._wrong
    assert "address 1975" not in guard._wrong
