"""The web configuration: what is taken, and one sentence for each thing that is not."""

import ssl
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from blnk_exporter.config import Loaded, load
from blnk_exporter.config.report import render_check
from blnk_exporter.errors import ConfigError

from ..conftest import Pki

FLAGS = {"web.config_file": "web/web.yml", "servers": "http://b:1"}
HASH = "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze"


@pytest.fixture
def protecting(tmp_path: Path, pki: Pki) -> Callable[..., Loaded]:
    """Load with this web configuration, whose directory holds certificates, keys and a token."""
    beside = tmp_path / "web"
    beside.mkdir()
    (beside / "here.crt").write_bytes(pki.server[0].read_bytes())
    (beside / "here.key").write_bytes(pki.server[1].read_bytes())
    (beside / "other.key").write_bytes(pki.elsewhere[1].read_bytes())
    (beside / "ca.crt").write_bytes(pki.ca.read_bytes())
    (beside / "garbage").write_bytes(b"\x80 no PEM")
    (beside / "token").write_text("t0ken\n")
    (beside / "two").write_text("t0ken\nt1ken\n")

    def run(content: Any, **flags: Any) -> Loaded:
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        (beside / "web.yml").write_text(text)
        return load(flags=FLAGS | flags, environ={}, directory=tmp_path)

    return run


def tls(**fields: Any) -> dict[str, Any]:
    return {"tls_server_config": {"cert_file": "here.crt", "key_file": "here.key"} | fields}


def test_without_a_file_nothing_is_asked(tmp_path) -> None:
    """And both that the network would need are missing."""
    protection = load(flags={"servers": "http://b:1"}, environ={}, directory=tmp_path).protection
    assert (protection.tls, protection.asks_for_credentials) == (None, False)
    assert protection.missing == ("TLS", "credentials")


@pytest.mark.parametrize("content", ["", "tls_server_config:\nbasic_auth_users:\n", "http_server_config: {headers: }"])
def test_an_empty_file_asks_nothing(protecting, content) -> None:
    """Prometheus takes one, too; a section whose lines are all commented out is no fault."""
    assert protecting(content).protection.missing == ("TLS", "credentials")


def test_everything_at_once(protecting) -> None:
    """The whole format, with paths that start at the file's own directory."""
    loaded = protecting(
        tls(
            client_auth_type="RequireAndVerifyClientCert",
            client_ca_file="ca.crt",
            client_allowed_sans=["prometheus.example"],
            min_version="TLS12",
            max_version="TLS12",
            cipher_suites=["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"],
            prefer_server_cipher_suites=False,
        )
        | {
            "http_server_config": {"http2": True, "headers": {"X-Frame-Options": "deny", "X-XSS-Protection": ""}},
            "basic_auth_users": {"alice": HASH, "bob": HASH},
            "rate_limit": {"interval": "1.5s", "burst": 20},
            "bearer_token_file": "token",
            "protect_health": True,
        }
    )
    protection, context = loaded.protection, loaded.protection.tls
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
    suites = {suite["name"] for suite in context.get_ciphers() if suite["protocol"] == "TLSv1.2"}
    assert suites == {"ECDHE-ECDSA-AES256-GCM-SHA384"}
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert protection.allowed_names == {"prometheus.example"}
    assert protection.users == {"alice": HASH, "bob": HASH}
    assert protection.bearer_token.get_secret_value() == "t0ken"
    assert protection.headers == {"X-Frame-Options": "deny"}
    assert (protection.request_interval_seconds, protection.request_burst) == (1.5, 20)
    assert protection.protect_health
    assert protection.missing == ()
    assert any("http2 is not spoken" in note for note in loaded.notes)
    assert {path.name for path in loaded.files} >= {"web.yml", "here.crt", "here.key", "ca.crt", "token"}


def test_check_config_shows_what_is_asked_and_no_secret(protecting) -> None:
    """Names, yes; neither hash nor token."""
    text = render_check(protecting(tls() | {"basic_auth_users": {"alice": HASH}, "bearer_token_file": "token"}))
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "TLS12 or newer, NoClientCert" in rows["web TLS"]
    assert "alice" in rows["web users"]
    assert "***" in rows["web bearer token"]
    assert HASH not in text
    assert "t0ken" not in text


def test_credentials_in_the_clear_are_told(protecting) -> None:
    """Valid, and behind a proxy that speaks TLS it may be meant."""
    loaded = protecting({"basic_auth_users": {"alice": HASH}})
    assert loaded.protection.missing == ("TLS",)
    assert any("in the clear" in note for note in loaded.notes)


@pytest.mark.parametrize(("asks", "mode"), [("NoClientCert", 0), ("VerifyClientCertIfGiven", 1)])
def test_what_is_asked_of_clients(protecting, asks, mode) -> None:
    """Neither makes sure who it is."""
    fields = {"client_ca_file": "ca.crt"} if mode else {}
    protection = protecting(tls(client_auth_type=asks, **fields)).protection
    assert protection.tls.verify_mode == mode
    assert protection.missing == ("credentials",)


FAULTS = [
    # Taken as nothing, each would leave the door open.
    ("basic_auth_users: {prometheus: }", "basic_auth_users.prometheus: is empty; say what it is, or leave it out"),
    ("bearer_token_file:", "bearer_token_file: is empty; say what it is, or leave it out"),
    ({"bearer_token_file": ""}, "bearer_token_file: web is no regular file"),
    ({"bearer_token_file": "two"}, "bearer_token_file: web/two holds more than one word of ASCII"),
    ("protect_health:", "protect_health: is empty; say what it is, or leave it out"),
    ("tls_server_config: {cert_file: , key_file: a}", "tls_server_config.cert_file: is empty; say what it is, or leave"),
    ("tls_server_config: [a]", "tls_server_config: must hold keys and their values"),
    ({"tls_server_config": {"cert_file": "here.crt"}}, "tls_server_config.key_file: is missing"),
    (tls(cert_file="none.crt"), "tls_server_config.cert_file: web/none.crt does not exist"),
    (tls(cert_file="garbage"), "tls_server_config.cert_file: web/garbage holds no PEM certificate"),
    (tls(cert_file="here.key"), "tls_server_config.cert_file: web/here.key holds no PEM certificate"),
    (tls(key_file="none.key"), "tls_server_config.key_file: web/none.key does not exist"),
    (tls(key_file="garbage"), "tls_server_config.key_file: web/garbage holds no PEM key that needs no password"),
    (tls(key_file="other.key"), "tls_server_config.key_file: web/other.key does not belong to web/here.crt"),
    (tls(key_file="."), "tls_server_config.key_file: web is no regular file"),
    (tls(client_auth_type="RequestClientCert"), "tls_server_config.client_auth_type: must be one of NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert"),
    (tls(client_auth_type="RequireAndVerifyClientCert"), "tls_server_config.client_ca_file: is missing, and RequireAndVerifyClientCert needs it"),
    (tls(client_ca_file="ca.crt"), "tls_server_config.client_ca_file: is of no use without client_auth_type: RequireAndVerifyClientCert"),
    (tls(client_auth_type="VerifyClientCertIfGiven", client_ca_file="garbage"), "tls_server_config.client_ca_file: web/garbage holds no PEM certificate"),
    (tls(client_auth_type="VerifyClientCertIfGiven", client_ca_file="ca.crt", client_allowed_sans=["a"]), "tls_server_config.client_allowed_sans: needs client_auth_type: RequireAndVerifyClientCert"),
    (tls(min_version="TLS10"), "tls_server_config.min_version: must be one of TLS12 or TLS13"),
    (tls(min_version="TLS13", max_version="TLS12"), "tls_server_config.max_version: is older than min_version"),
    (tls(cipher_suites=["TLS_RSA_WITH_RC4_128_SHA"]), "tls_server_config.cipher_suites: holds TLS_RSA_WITH_RC4_128_SHA, which is none of "),
    (tls(curve_preferences=["X25519"]), "tls_server_config.curve_preferences: cannot be chosen; those of OpenSSL are in force"),
    (tls(key="-----BEGIN"), "tls_server_config.key: is not read from here; name a file with key_file"),
    (tls(certfile="x"), "tls_server_config.certfile: is not a known key"),
    ({"http_server_config": {"headers": {"X-Powered-By": "us"}}}, "http_server_config.headers.X-Powered-By: must be one of "),
    ({"http_server_config": {"headers": {"X-Frame-Options": "deny\r\nSet-Cookie: a"}}}, "http_server_config.headers.X-Frame-Options: must be printable ASCII"),
    ({"basic_auth_users": {"alice": "secret"}}, "basic_auth_users.alice: must be a bcrypt hash, as htpasswd -nBC 10 writes it"),
    ({"basic_auth_users": {"alice": f"$2y$16${HASH[7:]}"}}, "basic_auth_users.alice: has cost 16; it must be from 4 to 14"),
    ({"basic_auth_users": {"a:b": HASH}}, "basic_auth_users: holds a name that is empty or has a colon in it"),
    ({"basic_auth_users": [HASH]}, "basic_auth_users: must hold keys and their values"),
    ({"rate_limit": {"interval": "soon"}}, "rate_limit.interval: "),
    ({"rate_limit": {"interval": "-1s"}}, "rate_limit.interval: must not be negative"),
    ({"rate_limit": {"burst": 0}}, "rate_limit.burst: must be at least 1"),
    ({"bearer_token_file": "none"}, "bearer_token_file: web/none does not exist"),
    ({"bearer_token_file": ""}, "bearer_token_file: web is no regular file"),
    ({"protect_health": "maybe"}, "protect_health: must be true or false"),
    ({"basic_auth_user": {}}, "basic_auth_user: is not a known key"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "fault"), FAULTS, ids=[fault for _, fault in FAULTS])
def test_a_fault_is_one_sentence(protecting, content, fault) -> None:
    """Where and what, and neither a hash nor what stands in a key."""
    with pytest.raises(ConfigError) as caught:
        protecting(content)
    (told,) = map(str, caught.value.faults)
    assert told.startswith(f"web/web.yml {fault}")
    assert HASH[10:] not in told


def test_no_yaml_is_a_fault_of_the_file(protecting) -> None:
    """With its line."""
    with pytest.raises(ConfigError, match=r"^web/web.yml: line 1, column 4: is no YAML"):
        protecting("a: : b")


def test_a_missing_file_is_a_fault(tmp_path) -> None:
    """An exporter that was to be protected must not start open."""
    with pytest.raises(ConfigError, match=r"^web/web.yml: does not exist") as caught:
        load(flags=FLAGS, environ={}, directory=tmp_path)
    assert tmp_path / "web/web.yml" in caught.value.files


def test_all_faults_are_told_at_once(protecting) -> None:
    """Of this file and of the others."""
    with pytest.raises(ConfigError) as caught:
        protecting(
            tls(key_file="none", min_version="TLS13", max_version="TLS12") | {"bearer_token_file": "x"}, servers="?"
        )
    assert len(caught.value.faults) == 4


def test_a_key_with_a_password_is_refused_without_asking_for_it(protecting, pki, tmp_path) -> None:
    """OpenSSL would ask whoever sits at the terminal."""
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415

    key = form.load_pem_private_key(pki.server[1].read_bytes(), None)
    locked = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"pw"))
    (tmp_path / "web/locked.key").write_bytes(locked)
    with pytest.raises(ConfigError, match=r"locked\.key holds no PEM key that needs no password"):
        protecting(tls(key_file="locked.key"))


KEYS = st.sampled_from(
    ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit", "bearer_token_file", "protect_health",
     "cert_file", "key_file", "client_auth_type", "client_ca_file", "client_allowed_sans", "min_version", "max_version",
     "cipher_suites", "headers", "X-Frame-Options", "interval", "burst", "alice", ""]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from([HASH, "here.crt", "web.yml", ".", "/", "TLS13", "1s", "1h", "NoClientCert", "deny", "\0", "a\nb"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=6),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(KEYS, VALUES, max_size=6).map(yaml.safe_dump) | st.text(max_size=60))
def test_any_content_is_survived(content) -> None:
    """A configuration or a ConfigError, never another exception, and never one in the other's clothes."""
    with TemporaryDirectory() as directory:
        (Path(directory) / "web.yml").write_text(content, encoding="utf-8", errors="replace")
        flags = FLAGS | {"web.config_file": "web.yml"}
        try:
            loaded = load(flags=flags, environ={}, directory=Path(directory))
        except ConfigError as error:
            places = {fault.where.partition(" ")[0] for fault in error.faults}
        else:
            places = {"web.yml"}
            assert loaded.protection.tls is None  # there is no certificate there
            assert render_check(loaded)
    assert places == {"web.yml"}
