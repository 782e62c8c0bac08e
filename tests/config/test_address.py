"""What addresses and paths must look like."""

import pytest

from blnk_exporter.config import address


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:10501", ("127.0.0.1", 10501)),
        (":0", ("", 0)),
        ("[::]:1", ("::", 1)),
        ("localhost:1", ("localhost", 1)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
    ],
)
def test_a_listen_address_is_split(text, parts) -> None:
    """As node_exporter's users write it."""
    assert address.listen(text) == parts


@pytest.mark.parametrize("text", ["", "10501", "host", "::1:1x", "a b:1", "h:x", "h:-1", "[::1:5", "http://h:1"])
def test_what_is_no_listen_address_is_refused(text) -> None:
    """Before the socket does."""
    with pytest.raises(ValueError, match="must be host:port"):
        address.listen(text)


@pytest.mark.parametrize(("text", "port"), [("h:65536", "65536"), (":99999", "99999"), ("[::1]:100000", "100000")])
def test_a_port_that_is_too_high_is_named(text, port) -> None:
    """The form of the address is right, and the sentence says what is not."""
    with pytest.raises(ValueError, match=f"^port {port} is over 65535$"):
        address.listen(text)


@pytest.mark.parametrize(
    ("text", "path"), [("/", ""), ("", ""), ("/a", "/a"), ("a/b/", "/a/b"), ("/a.b/~c_d-e/", "/a.b/~c_d-e")]
)
def test_a_prefix_is_written_one_way(text, path) -> None:
    """As Prometheus takes it, with slashes around it or without."""
    assert address.path_prefix(text) == path


@pytest.mark.parametrize("text", ["/a//b", "/a b", "/{a}", "/a/..", "/./a", "/a?b", "/%61", "/ü"])
def test_an_invalid_prefix_is_refused(text) -> None:
    """Nothing that a browser or a proxy would change on the way."""
    with pytest.raises(ValueError, match="may hold letters, digits"):
        address.path_prefix(text)
    with pytest.raises(ValueError, match=r"has a path that may hold letters|query or fragment|spaces|cannot be read"):
        address.external(f"https://h{text}")


def test_an_external_url_is_accepted() -> None:
    """Without the slash at its end."""
    assert address.external("https://ops.example/blnk/") == "https://ops.example/blnk"
    assert address.external("http://h:1") == "http://h:1"


@pytest.mark.parametrize(
    "text", ["http://h", "https://h:1/prefix", "http://[::1]:5001", "http://10.0.0.1:1", "HTTP://Blnk_server:1"]
)
def test_an_url_is_accepted(text) -> None:
    """With a prefix for those behind a proxy."""
    assert address.http_url(f" {text}/ ") == text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("h:5001", "must begin with http:// or https://"),
        ("ftp://h", "must begin with"),
        ("http://", "must name a host"),
        ("http://h:0", "must name a host, and a port"),
        ("http://h:x", "has a host or port that cannot be read"),
        ("http://[::1", "has a host or port that cannot be read"),
        ("http://user:canary@h", "must not hold a user name or password"),
        ("http://@h", "must not hold a user name or password"),
        ("http://h/?key=canary", "must not hold a query or fragment"),
        ("http://h/#", "must not hold a query or fragment"),
        ("http://h/a b", "must not hold spaces or control characters"),
        ("http://a,b", "must name a host"),
    ],
)
def test_what_is_no_url_is_refused(text, what) -> None:
    """And not repeated: it may hold a key."""
    with pytest.raises(ValueError, match=what) as caught:
        address.http_url(text)
    assert "canary" not in str(caught.value)


def test_a_route_is_checked() -> None:
    """It must not hide the exporter's own pages, nor be a pattern."""
    assert address.route("/probe/metrics") == "/probe/metrics"
    for text, what in (
        ("metrics", "begin"),
        ("/", "taken"),
        ("/-/ready", "taken"),
        ("/{x}", "letters"),
        ("/a/", "letters"),
        ("/a?b", "letters"),
    ):
        with pytest.raises(ValueError, match=what):
            address.route(text)


def test_a_path_is_absolute() -> None:
    """It is looked for under the host's root."""
    assert address.absolute("/var/lib/") == "/var/lib"
    assert address.absolute("/") == "/"
    with pytest.raises(ValueError, match="absolute"):
        address.absolute("data")


@pytest.mark.parametrize(("text", "release"), [("0.13.2", "0.13.2"), ("v0.15", "0.15.0"), (" 0.15.3-rc.1 ", "0.15.3")])
def test_a_release_is_read(text, release) -> None:
    """As image tags write it."""
    assert address.release(text) == release


@pytest.mark.parametrize("text", ["", "latest", "0", "0.15.x", "0.15.2.1", "99999.1.1"])
def test_what_is_no_release_is_refused(text) -> None:
    """``latest`` says nothing about defaults."""
    with pytest.raises(ValueError, match=r"must be a release of Blnk such as 0\.15\.2"):
        address.release(text)
