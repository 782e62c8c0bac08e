"""Connection strings of PostgreSQL; libpq itself, through psycopg, is the oracle for what both drivers read alike."""

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from blnk_exporter.formats.dsn import DsnError, PostgresDsn, masked, parse_postgres

WORDS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=20)
NAMES = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=12)
MODES = st.sampled_from(["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])


def parse(text: str) -> PostgresDsn:
    return parse_postgres(text, default_sslmode="prefer")


def secret(dsn: PostgresDsn) -> str | None:
    return dsn.password.get_secret_value() if dsn.password else None


def as_libpq(dsn: PostgresDsn) -> dict[str, str]:
    """The parts under libpq's names, without what is not set."""
    parts = {
        "host": ",".join(dsn.hosts),
        "port": ",".join(map(str, dsn.ports)),
        "user": dsn.user,
        "password": secret(dsn),
        "dbname": dsn.database,
        "sslmode": dsn.sslmode,
    }
    return {key: value for key, value in parts.items() if value}


@given(user=WORDS, password=WORDS, host=NAMES, port=st.integers(1, 65535), database=WORDS, mode=MODES)
def test_an_encoded_url_is_read_as_libpq_reads_it(
    *, user: str, password: str, host: str, port: int, database: str, mode: str
) -> None:
    """Any password works once it is percent-encoded."""
    userinfo = f"{quote(user, safe='')}:{quote(password, safe='')}"
    url = f"postgresql://{userinfo}@{host}:{port}/{quote(database, safe='')}?sslmode={mode}"
    assert as_libpq(parse(url)) == conninfo_to_dict(url)


@given(user=WORDS, password=WORDS, host=NAMES, port=st.integers(1, 65535), database=WORDS, mode=MODES)
def test_key_value_is_read_as_libpq_reads_it(
    *, user: str, password: str, host: str, port: int, database: str, mode: str
) -> None:
    """Quotes, backslashes and spaces are libpq's own, written by libpq's own rules."""
    text = make_conninfo(user=user, password=password, host=host, port=port, dbname=database, sslmode=mode)
    assert as_libpq(parse(text)) == conninfo_to_dict(text)


@given(st.text(max_size=60))
def test_any_text_ends_in_a_dsn_or_in_one_sentence(text: str) -> None:
    """Whatever stands in a variable, no traceback and no echo of it."""
    for candidate in (text, f"postgres://{text}", f"postgres://u:canary@{text}", f"host=h password='canary' {text}"):
        try:
            said = masked(parse(candidate))
        except DsnError as error:
            said = str(error)
        assert "canary" not in said


@pytest.mark.parametrize(
    ("password", "raw"),
    [("p@ss", "p@ss"), ("p:s", "p:s"), ("p#s", "p#s"), ("12#s", "12#s"), ("p s", "p s"), ("p=s", "p=s"), ("p?s", "p?s"),
     ("a/b", "a%2Fb"), ("50%", "50%25"), ("p s@x", "p s@x"), ("é", "é")],
)  # fmt: skip
def test_a_password_may_hold_what_either_driver_reads(password: str, raw: str) -> None:
    """Unencoded special characters are what people write."""
    dsn = parse(f"postgres://blnk:{raw}@db:5433/ledger")
    assert (dsn.user, secret(dsn), dsn.address, dsn.database) == ("blnk", password, "db:5433", "ledger")


def test_the_last_at_ends_the_password() -> None:
    """lib/pq's reading, where libpq would take the first."""
    assert conninfo_to_dict("postgres://u:p@ss@h/d")["host"] == "ss@h"
    assert parse("postgres://u:p@ss@h/d").hosts == ("h",)


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgres://a:1,b:2/d", ("a", "b"), (1, 2)),
        ("postgres://a,b/d", ("a", "b"), (5432, 5432)),
        ("postgres://a:1,b/d", ("a", "b"), (1, 5432)),
        ("postgres://[::1]/d", ("::1",), (5432,)),
        ("postgres://[::1]:5,[fe80::2%25eth0]:6/d", ("::1", "fe80::2%eth0"), (5, 6)),
        ("postgres:///d?host=/var/run/postgresql&port=7", ("/var/run/postgresql",), (7,)),
        ("postgres://%2Fvar%2Frun%2Fpg/d", ("/var/run/pg",), (5432,)),
        ("postgres://", ("localhost",), (5432,)),
        ("postgres://h:/d", ("h",), (5432,)),
        ("postgres://x/d?host=y", ("y",), (5432,)),
        ("host=a,b port=9", ("a", "b"), (9, 9)),
        ("hostaddr=10.0.0.1", ("10.0.0.1",), (5432,)),
        ("dbname=d", ("localhost",), (5432,)),
    ],
)
def test_servers_are_found(url: str, hosts: tuple[str, ...], ports: tuple[int, ...]) -> None:
    """Several, IPv6 and sockets."""
    dsn = parse(url)
    assert (dsn.hosts, dsn.ports) == (hosts, ports)


def test_a_socket_has_no_tls() -> None:
    """lib/pq and libpq alike turn it off there."""
    assert parse("host=/run sslmode=require").sslmode == "disable"


def test_the_caller_knows_the_default_of_sslmode() -> None:
    """lib/pq encrypts without being asked, libpq where it can."""
    assert parse_postgres("host=h", default_sslmode="require").sslmode == "require"
    assert parse_postgres("host=h sslmode=''", default_sslmode="require").sslmode == "require"


def test_files_and_options_of_tls_are_kept() -> None:
    """They are the client's to use, and sslpassword is not printed."""
    dsn = parse("postgres://h/d?sslmode=verify-full&sslrootcert=/ca.pem&sslpassword=canary&application_name=x")
    assert dsn.tls == {"sslpassword": "canary", "sslrootcert": "/ca.pem"}
    assert "canary" not in repr(dsn)
    assert masked(dsn) == "postgres://h:5432/d?sslmode=verify-full&sslrootcert=/ca.pem"


def test_key_value_has_its_own_quoting() -> None:
    """A quote in the middle is a character, a backslash takes the next one."""
    assert secret(parse(r"password = 'it\'s \\ here' host=h")) == r"it's \ here"
    assert secret(parse(r"password=pa'ss\ word host=h")) == "pa'ss word"
    assert secret(parse("host=h password=")) is None


def test_the_driver_s_other_parameters_are_let_pass() -> None:
    """lib/pq's binary_parameters stands in many a Blnk's DSN."""
    assert parse("postgres://h/d?binary_parameters=yes&connect_timeout=3").notes == ()


def test_an_unknown_parameter_is_noted_without_its_name() -> None:
    """It may be a slip, or a piece of a password."""
    assert parse("postgres://h/d?sslmod=require").notes == (
        "A parameter that PostgreSQL's drivers do not know is ignored: is sslmode meant?",
    )
    assert parse("host=h password=ca nary=1").notes == (
        "A parameter that PostgreSQL's drivers do not know is ignored.",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" ", "is empty"),
        ("a\0b", "holds a NUL character"),
        ("user=\udcff", "is not UTF-8 text"),
        ("postgres://u:%00@h", "holds a NUL character"),
        ("postgres://u:a/b@h/d", "has an @ after its first slash: a slash in the password must be written %2F"),
        ("postgres://h:port/d", "has a host or port that cannot be read: @ : / ? # in a password must be percent-encoded"),
        ("postgres://[::1/d", "has a host or port that cannot be read: @ : / ? # in a password must be percent-encoded"),
        ("postgres://u:%zz@h/d", "holds a % that no two hexadecimal digits follow"),
        ("postgres://u:%ff@h/d", "holds percent-encoded bytes that are not UTF-8"),
        ("postgres://h:70000/d", "has a port that is not a number from 1 to 65535"),
        ("host=h port=x", "has a port that is not a number from 1 to 65535"),
        ("host=a,b,c port=1,2", "has 2 ports for 3 hosts"),
        ("host=h sslmode=on", "has an unknown sslmode: it must be one of disable, allow, prefer, require, verify-ca, verify-full"),
        ("service=blnk", "names a service file, which is not read: write its host, user and database out"),
        ("host=h sslinline=true", "holds its certificates inline: name files instead"),
        ("mysql://h", "is neither a postgres:// URL nor key=value: a word has no = after it, or a quote is not closed"),
        ("password= 'a=b", "is neither a postgres:// URL nor key=value: a word has no = after it, or a quote is not closed"),
    ],
)  # fmt: skip
def test_a_fault_is_one_sentence(text: str, message: str) -> None:
    """What is wrong and what to do, never the string."""
    with pytest.raises(DsnError) as caught:
        parse(text)
    assert str(caught.value) == message


def test_the_address_has_brackets_around_ipv6() -> None:
    """It is a label value that people paste."""
    assert PostgresDsn(hosts=("::1",)).address == "[::1]:5432"
    assert PostgresDsn(hosts=("h",), ports=(1,)).address == "h:1"


def test_a_url_without_a_path_may_have_a_query() -> None:
    """In the raw form that only libpq reads, too."""
    dsn = parse("postgres://u:p w@h?sslmode=disable")
    assert (dsn.address, dsn.database, dsn.sslmode) == ("h:5432", None, "disable")


def test_the_systems_authorities_mean_verify_full() -> None:
    """As libpq has it: they vouch for anybody, so the name must be looked at."""
    assert parse("host=h sslrootcert=system").sslmode == "verify-full"
    assert parse_postgres("host=h sslrootcert=system", default_sslmode="require").sslmode == "verify-full"
    with pytest.raises(DsnError, match="needs sslmode=verify-full"):
        parse("host=h sslrootcert=system sslmode=verify-ca")
