"""Options of a PostgreSQL connection string: each is honored, without effect, or refused; libpq knows which there are."""

import pytest
from psycopg import pq
from pydantic import SecretStr

from blnk_exporter.formats import postgres_options
from blnk_exporter.formats.dsn import DsnError, PostgresDsn, masked, parse_postgres


def parse(text: str) -> PostgresDsn:
    return parse_postgres(text, default_sslmode="prefer")


def test_every_option_of_libpq_has_a_decision() -> None:
    """A new release of libpq may bring another way to say where a password may go."""
    libpq = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    assert libpq - postgres_options._KNOWN == {"authtype", "tty"} & libpq


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("channel_binding=require", "asks for channel binding, which the exporter does not support: use sslmode=verify-full, and remove channel_binding"),
        ("gssencmode=require", "asks for encryption by GSSAPI, which the exporter does not support: use TLS"),
        ("requirepeer=postgres", "has requirepeer, which the exporter does not check: remove it"),
        ("load_balance_hosts=random", "has load_balance_hosts, with which each login could reach another server: name the servers in postgres.replicas"),
        ("replication=database", "asks for a replication connection, which runs no ordinary statements: remove replication"),
        ("min_protocol_version=3.2", "asks for a newer protocol than 3.0, which the exporter does not support: remove min_protocol_version"),
        ("sslkeylogfile=/keys", "has sslkeylogfile, which would write the keys of its sessions to a file: remove it"),
        ("sslcertmode=require", "has an unknown sslcertmode: it must be one of disable, allow"),
        ("scram_client_key=x", "has a login by SCRAM keys or OAuth, which the exporter does not support: use a password"),
        ("oauth_issuer=x", "has a login by SCRAM keys or OAuth, which the exporter does not support: use a password"),
        ("target_session_attrs=master", "has an unknown target_session_attrs: it must be one of any, read-write, read-only, primary, standby, prefer-standby"),
        ("sslnegotiation=fast", "has an unknown sslnegotiation: it must be one of postgres, direct"),
        ("sslnegotiation=direct", "has sslnegotiation=direct, which needs sslmode=require or stronger, not prefer"),
        ("sslsni=0 sslmode=verify-full", "has sslsni=0, with which the exporter cannot verify the server's name: remove it"),
        ("ssl_min_protocol_version=TLSv9", "has an unknown ssl_min_protocol_version: it must be one of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3"),
        ("connect_timeout=soon", "has a connect_timeout that is not a whole number of seconds"),
        ("connect_timeout=--5", "has a connect_timeout that is not a whole number of seconds"),
        ("hostaddr=db", "has a hostaddr that is not an IP address"),
        ("hostaddr=10.0.0.1,10.0.0.2", "has 2 in hostaddr for 1 hosts"),
        ("require_auth=scram-sha-256,!md5", "has methods with and without ! in require_auth: all must have it, or none"),
        ("require_auth=secret", "has 1 unknown methods in require_auth: each must be one of gss, md5, none, oauth, password, scram-sha-256, sspi"),
    ],
)  # fmt: skip
def test_what_cannot_be_honored_is_refused(text: str, message: str) -> None:
    """An option that is accepted and ignored is a promise broken in silence."""
    with pytest.raises(DsnError) as caught:
        parse(f"host=h {text}")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text",
    ["channel_binding=prefer", "gssencmode=disable", "load_balance_hosts=disable", "replication=false", "keepalives=1",
     "krbsrvname=postgres", "sslcompression=1", "min_protocol_version=3.0", "max_protocol_version=latest", "timezone=UTC"],
)  # fmt: skip
def test_what_has_no_effect_is_accepted(text: str) -> None:
    """Strings that name a driver's default, or what the exporter's sessions set themselves."""
    assert parse(f"host=h {text}").notes == ()


def test_ignored_settings_of_the_session_are_noted() -> None:
    assert parse("host=h options='-c role=x'").notes == (
        "options is ignored: the exporter chooses the settings of its sessions.",
    )


@pytest.mark.parametrize(
    ("text", "methods", "sends_cleartext"),
    [
        ("", None, False),
        ("require_auth=scram-sha-256", {"scram-sha-256"}, False),
        ("require_auth=scram-sha-256,md5", {"scram-sha-256", "md5"}, False),
        ("require_auth=password", {"password"}, True),
        ("require_auth=none", {"none"}, False),
        ("require_auth=!password,!md5", {"gss", "sspi", "scram-sha-256", "oauth", "none"}, False),
        ("require_auth=!none", {"password", "md5", "gss", "sspi", "scram-sha-256", "oauth"}, False),
    ],
)
def test_require_auth_is_read_as_libpq_reads_it(text: str, methods: set[str] | None, *, sends_cleartext: bool) -> None:
    dsn = parse(f"host=h {text}")
    assert (dsn.login_methods, dsn.sends_cleartext) == (methods, sends_cleartext)


@pytest.mark.parametrize(
    ("given", "target"),
    [("", "any"), ("read-write", "primary"), ("primary", "primary"), ("read-only", "standby"), ("standby", "standby"), ("prefer-standby", "prefer-standby")],
)  # fmt: skip
def test_target_session_attrs_is_read(given: str, target: str) -> None:
    """Each session of ours is read-only, so read-write can only mean a primary."""
    assert parse(f"host=a,b target_session_attrs='{given}'").target == target


def test_several_hosts_are_one_address() -> None:
    """The host that is the server changes with a failover; the label of its series must not."""
    dsn = parse("host=a,::1,/run port=1,2,3")
    assert dsn.address == "a:1,[::1]:2,/run:3"


def test_hostaddr_says_where_a_host_is_found() -> None:
    """The certificate and the label are the host's."""
    dsn = parse("host=db,standby hostaddr=10.0.0.1,")
    assert (dsn.hosts, dsn.addresses) == (("db", "standby"), ("10.0.0.1", "standby"))
    dsn = parse("hostaddr=10.0.0.1")
    assert (dsn.hosts, dsn.addresses) == (("10.0.0.1",), ())
    dsn = parse("host=/run hostaddr=10.0.0.1 sslmode=require")
    assert (dsn.addresses, dsn.sslmode) == (("10.0.0.1",), "require")


def test_connect_timeout_is_read() -> None:
    """Zero and less mean none."""
    assert [parse(f"host=h connect_timeout={text}").connect_timeout_seconds for text in ("3", "0", "-1")] == [
        3.0,
        None,
        None,
    ]


def test_a_directory_of_revoked_certificates_is_for_the_client() -> None:
    assert parse("host=h sslcrldir=/crl").tls == {"sslcrldir": "/crl"}


CLOUD_SQL = "/cloudsql/proj:region:inst"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u:p@%2Fcloudsql%2Fproj%3Aregion%3Ainst/blnk",
        "postgresql://u:p@%2Fcloudsql%2Fproj%3Aregion%3Ainst:5432/blnk",
        "postgresql://u:p@/blnk?host=/cloudsql/proj:region:inst",
        "postgresql://u:p@/blnk?host=%2Fcloudsql%2Fproj%3Aregion%3Ainst",
        "host=/cloudsql/proj:region:inst user=u password=p dbname=blnk",
    ],
)
def test_a_directory_of_sockets_may_have_colons(text: str) -> None:
    """Cloud SQL's are named project:region:instance; libpq splits first, and decodes then."""
    dsn = parse(text)
    assert (dsn.hosts, dsn.ports, dsn.user, dsn.password) == ((CLOUD_SQL,), (5432,), "u", SecretStr("p"))
    assert (dsn.database, dsn.sslmode, dsn.address) == ("blnk", "disable", f"{CLOUD_SQL}:5432")
    assert masked(dsn) == "postgres://u:***@%2Fcloudsql%2Fproj%3Aregion%3Ainst:5432/blnk?sslmode=disable"
