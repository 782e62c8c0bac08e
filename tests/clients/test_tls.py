"""Trust: the same on every version of Python, and verification is kept."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from blnk_exporter.clients import tls
from blnk_exporter.clients.http import HttpTarget, open_session
from blnk_exporter.clients.redis import RedisClient
from blnk_exporter.config.tls import Context
from blnk_exporter.errors import NotAsked, Refused
from blnk_exporter.formats.dsn import PostgresDsn, RedisDsn

from ..conftest import Pki, answering, postgres_client
from .hostile_postgres import DESCRIBED, answer, hostile, read_request, row, server_context

pytestmark = pytest.mark.usefixtures("nothing_left")


@dataclass(frozen=True)
class Plain:
    """An authority and a certificate for 127.0.0.1 without key identifiers, as some managed services have them."""

    ca: Path
    server: tuple[Path, Path]


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Plain:
    made = tmp_path_factory.mktemp("plain")
    now = dt.datetime.now(dt.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]

    def certificate(subject: str, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        )
        return builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    paths = made / "ca.crt", made / "server.crt", made / "server.key"
    paths[0].write_bytes(certificate("authority", keys[0], x509.BasicConstraints(ca=True, path_length=None)))
    paths[1].write_bytes(certificate("server", keys[1], here))
    paths[2].write_bytes(
        keys[1].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return Plain(paths[0], (paths[1], paths[2]))


@pytest.fixture(autouse=True)
def as_python_313(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make default contexts as Python 3.13 makes them, whichever Python this is."""
    original = ssl.create_default_context

    def create(*arguments: object, **options: object) -> ssl.SSLContext:
        context = original(*arguments, **options)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", create)


async def _postgres(files: tuple[Path, Path], ca: str) -> str:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(DESCRIBED)
        await read_request(reader)
        writer.write(answer(row(b"in")))

    async with hostile(in_session=talk, tls=server_context(files)) as port:
        dsn = PostgresDsn(
            hosts=("127.0.0.1",),
            ports=(port,),
            user="u",
            password=SecretStr("p"),
            sslmode="verify-full",
            tls={"sslrootcert": ca},
        )
        async with postgres_client(dsn) as client:
            return await client.fetch_text("SELECT 'a'")


async def _redis(files: tuple[Path, Path], ca: str) -> str:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(server_context(files))
        while await reader.read(4_096):
            writer.write(b"+OK\r\n+in\r\n")

    async with answering(talk) as port:
        client = RedisClient(RedisDsn(host="127.0.0.1", port=port, tls=True, ca_file=ca))
        try:
            return (await client.execute(("PING",)))[0].decode()
        finally:
            await client.close()


async def _http(files: tuple[Path, Path], _: str) -> str:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(server_context(files))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nin")

    async with answering(talk) as port, open_session() as session:
        target = HttpTarget(session, f"https://127.0.0.1:{port}", timeout_seconds=60, response_bytes=1_000)
        return ((await target.get("/health")).body or b"").decode()


Ask = Callable[[tuple[Path, Path], str], "asyncio.Future[str]"]


@pytest.mark.parametrize("ask", [_postgres, _redis, _http])
async def test_a_certificate_without_key_identifiers_is_trusted(
    ask: Ask, plain: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By redis-cli, libpq and Go, and by Python 3.11, but not by the Python of the image."""
    monkeypatch.setenv("SSL_CERT_FILE", str(plain.ca))
    assert await ask(plain.server, str(plain.ca)) == "in"


async def test_the_systems_authorities_without_key_identifiers(plain: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(plain.ca))
    assert await _postgres(plain.server, "system") == "in"


@pytest.mark.parametrize("ask", [_postgres, _redis, _http])
async def test_another_authority_is_still_refused(
    ask: Ask, plain: Plain, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the strictness is cleared."""
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca))
    with pytest.raises(Refused, match="not trusted"):
        await ask(plain.server, str(pki.ca))


@pytest.mark.parametrize("ask", [_postgres, _redis])
@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
async def test_a_file_of_ours_that_holds_no_certificate_says_nothing_of_the_server(
    ask: Ask, pki: Pki, tmp_path: Path, content: str
) -> None:
    """Refused would mean that the server answers, and nothing was sent to it."""
    (tmp_path / "ca.crt").write_text(content)
    with pytest.raises(NotAsked, match=r"ca\.crt"):
        await ask(pki.server, str(tmp_path / "ca.crt"))


@pytest.mark.parametrize("ask", [_postgres, _redis, _http])
async def test_another_name_is_still_refused(ask: Ask, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca))
    with pytest.raises(Refused, match="not trusted"):
        await ask(pki.elsewhere, str(pki.ca))


def test_the_listener_is_not_strict_either() -> None:
    """Certificates of clients come from the same authorities."""
    assert not Context(ssl.PROTOCOL_TLS_SERVER).verify_flags & ssl.VERIFY_X509_STRICT


def test_verification_is_on() -> None:
    context = tls.verifying()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT


@pytest.mark.parametrize(
    ("sslmode", "with_root", "verify_mode", "check_hostname"),
    [
        ("allow", True, ssl.CERT_NONE, False),
        ("prefer", True, ssl.CERT_NONE, False),
        ("require", False, ssl.CERT_NONE, False),
        ("require", True, ssl.CERT_REQUIRED, False),
        ("verify-ca", True, ssl.CERT_REQUIRED, False),
        ("verify-full", True, ssl.CERT_REQUIRED, True),
    ],
)
def test_sslmode_is_libpqs(
    pki: Pki, sslmode: str, verify_mode: ssl.VerifyMode, *, with_root: bool, check_hostname: bool
) -> None:
    context = tls.postgres(sslmode, {"sslrootcert": str(pki.ca)} if with_root else {})
    assert (context.verify_mode, context.check_hostname) == (verify_mode, check_hostname)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_directory_of_revoked_certificates_is_read(pki: Pki, tmp_path: Path) -> None:
    """As libpq, which then refuses a certificate whose authority has no list there."""
    context = tls.postgres("verify-ca", {"sslrootcert": str(pki.ca), "sslcrldir": str(tmp_path)})
    assert context.verify_flags & ssl.VERIFY_CRL_CHECK_CHAIN == ssl.VERIFY_CRL_CHECK_CHAIN
