"""Redis' connection string as Blnk reads it: every row of facts/blnk.md 3.1, measured with Blnk's own function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blnk_exporter.formats.dsn import DsnError, masked, parse_redis
from blnk_exporter.formats.redis_dsn import ACL_NOTE, NOT_A_URL_NOTE, TLS_OFF_NOTE, USER_ALONE_NOTE

# text, address, user, password, database, TLS
ROWS = [
    ("redis:6379", "redis:6379", None, None, 0, False),
    (":6379", "localhost:6379", None, None, 0, False),
    ("[::1]:6379", "[::1]:6379", None, None, 0, False),
    ("redis://h", "h:6379", None, None, 0, False),
    ("redis://", "localhost:6379", None, None, 0, False),
    ("redis://h:6379/2", "h:6379", None, None, 2, False),
    ("redis://h:6379/2?db=3", "h:6379", None, None, 3, False),
    ("redis://h?db=3&dial_timeout=5s&pool_size=10&pool_fifo=1&read_timeout=3", "h:6379", None, None, 3, False),
    ("redis://h?pool_size=", "h:6379", None, None, 0, False),
    ("redis://h/-1", "h:6379", None, None, 0, False),
    ("redis://[::1]:7/1", "[::1]:7", None, None, 1, False),
    ("redis://pw@h:6379", "h:6379", None, "pw", 0, False),
    ("redis://:pw@h:6379", "h:6379", None, "pw", 0, False),
    ("redis://:p@ss@h:6379", "h:6379", None, "p@ss", 0, False),
    ("redis://:p%2Fs%23@h:6379", "h:6379", None, "p/s#", 0, False),
    ("redis://user:pw@h:6379/1", "h:6379", "user", "pw", 1, False),
    ("rediss://:pw@h:6380/1", "h:6380", None, "pw", 1, True),
    ("rediss://pw@h", "h:6379", None, None, 0, True),
    ("redis://:p/ss@h:6379", "h:6379", None, ":p/ss", 0, False),
    ("redis://p/ss@h:6379", "h:6379", None, ":p/ss", 0, False),
    ("rediss://:p/ss@h:6379", "h:6379", None, "rediss://:p/ss", 0, False),
    ("rediss://:p/ss@x.redis.cache.windows.net:6380", "x.redis.cache.windows.net:6380", None, "rediss://:p/ss", 0, True),
    ("pw@h:6379", "h:6379", None, "pw", 0, False),
    ("user:pw@h:6379", "h:6379", None, "user:pw", 0, False),
    ("pw@x.redis.cache.windows.net:6380", "x.redis.cache.windows.net:6380", None, "pw", 0, True),
    ("unix:///run/redis.sock?db=2", "/run/redis.sock", None, None, 2, False),
    ("unix://u:pw@/run/redis.sock", "/run/redis.sock", "u", "pw", 0, False),
    ("/run/redis.sock", "/run/redis.sock", None, None, 0, False),
]  # fmt: skip


@pytest.mark.parametrize(("text", "address", "user", "password", "database", "tls"), ROWS, ids=[row[0] for row in ROWS])
def test_a_string_is_read_as_blnk_reads_it(
    text: str, address: str, user: str | None, password: str | None, database: int, *, tls: bool
) -> None:
    """The exporter must not connect where Blnk would not, nor the other way round."""
    dsn = parse_redis(text)
    found = dsn.password.get_secret_value() if dsn.password else None
    assert (dsn.address, dsn.username, found, dsn.database, dsn.tls) == (address, user, password, database, tls)


@pytest.mark.parametrize(
    "text",
    ["localhost", "h:6379/2", "h:port", "redis://h?foo=1", "redis://:pw@h:6379?foo=1", "redis://h:0", "redis://h/1/2", "redis://h/x",
     "redis://h?db=x", "redis://h?pool_fifo=yes", "redis://h?dial_timeout=x", "redis://h?idle_timeout=1&conn_max_idle_time=1",
     "rediss://:p/ss@h", "mysql://u:p@h@h", "unix://", "redis://a b"],
)  # fmt: skip
def test_a_string_that_leaves_no_address_is_a_fault(text: str) -> None:
    """Blnk would start and fail to dial, with a message that shows the password."""
    with pytest.raises(DsnError, match="leaves Blnk without an address of the form host:port"):
        parse_redis(text)


@pytest.mark.parametrize(
    "text", ["h1:6379,h2:6379", "redis://h1,h2", "redis://h1:6379,h2:6379", "redis://:pw@h1:1,h2:2/0"]
)
def test_several_servers_are_a_fault(text: str) -> None:
    """Neither Cluster nor Sentinel works in Blnk, whatever its code looks like."""
    with pytest.raises(DsnError, match="lists several servers, but Blnk does not split at commas"):
        parse_redis(text)


@pytest.mark.parametrize(("text", "message"), [("", "is empty"), (" ", "is empty"), ("redis://:%FF@h", "not UTF-8")])
def test_other_faults(text: str, message: str) -> None:
    """Said in their own words."""
    with pytest.raises(DsnError, match=message):
        parse_redis(text)


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("redis://user:pw@h:6379/1", (ACL_NOTE,)),
        ("rediss://pw@h", (USER_ALONE_NOTE,)),
        ("rediss://:p/ss@h:6379", (NOT_A_URL_NOTE, TLS_OFF_NOTE)),
        ("pw@h:6379", (NOT_A_URL_NOTE,)),
        ("redis://:pw@h", ()),
    ],
)
def test_what_bites_is_noted(text: str, notes: tuple[str, ...]) -> None:
    """The author meant something else."""
    assert parse_redis(text).notes == notes


def test_skipping_verification_needs_tls() -> None:
    """``skip_tls_verify`` does nothing to a plain connection."""
    assert not parse_redis("rediss://h", skip_tls_verify=True).tls_verify
    assert parse_redis("rediss://h").tls_verify
    assert parse_redis("redis://h", skip_tls_verify=True).tls_verify


def test_a_lone_user_name_is_not_kept() -> None:
    """It is a password that lost its colon, and no client sends it."""
    assert "canary" not in repr(parse_redis("rediss://canary@h"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rediss://u:pw@[::1]:6380/1", "rediss://u:***@[::1]:6380/1"),
        ("redis://:pw@h", "redis://:***@h:6379/0"),
        ("h:1", "redis://h:1/0"),
        ("unix://:pw@/run/r.sock?db=2", "unix://:***@/run/r.sock?db=2"),
    ],
)
def test_the_shown_form_has_no_password(text: str, shown: str) -> None:
    """For check-config."""
    assert masked(parse_redis(text)) == shown


@given(st.text(max_size=60))
def test_any_text_ends_in_a_dsn_or_in_one_sentence(text: str) -> None:
    """Whatever stands in a variable, no traceback and no echo of it."""
    for candidate in (text, f"redis://{text}", f"rediss://:canary@{text}", f"redis://h:6379?{text}"):
        try:
            said = masked(parse_redis(candidate))
        except DsnError as error:
            said = str(error)
        assert "canary" not in said
