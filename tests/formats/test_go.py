"""How Go reads scalars: expectations taken from Go 1.26 itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blnk_exporter.formats import go


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_true_has_six_spellings(text: str) -> None:
    """Any other word stops Blnk."""
    assert go.parse_bool(text)


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_false_has_six_spellings(text: str) -> None:
    """Any other word stops Blnk."""
    assert not go.parse_bool(text)


@pytest.mark.parametrize("text", ["", "yes", "on", "tRUE", " true"])
def test_other_words_are_no_boolean(text: str) -> None:
    """YAML's and the shell's words are the commonest slip."""
    with pytest.raises(ValueError, match="must be true or false"):
        go.parse_bool(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("010", 8), ("0x1F", 31), ("0b11", 3), ("0o17", 15), ("1_000", 1000), ("-2", -2), ("+7", 7), ("0_7", 7)],
)
def test_the_prefix_tells_the_base(text: str, number: int) -> None:
    """``010`` is eight queues to Blnk, not ten."""
    assert go.parse_int(text) == number


@pytest.mark.parametrize("text", ["", "1.5", "08", "1__0", "0x", " 1", "9223372036854775808", "1" * 5000, "\u0661"])
def test_what_is_no_int64_is_refused(text: str) -> None:
    """Python reads more than Go does."""
    with pytest.raises(ValueError, match=r"must be a whole number|is out of range"):
        go.parse_int(text)


@given(st.integers(go.INT64_MIN, go.INT64_MAX))
def test_every_int64_is_read(number: int) -> None:
    """Nothing is lost at the edges."""
    assert go.parse_int(str(number)) == go.atoi(str(number)) == number


def test_atoi_is_decimal_only() -> None:
    """``strconv.Atoi`` takes no prefix and ignores leading zeros."""
    assert go.atoi("010") == 10
    with pytest.raises(ValueError, match="must be a whole number"):
        go.atoi("0x10")


@pytest.mark.parametrize(
    ("text", "number"), [("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("1_0", 10.0), ("-Inf", float("-inf"))]
)
def test_a_float_is_read(text: str, number: float) -> None:
    """The rate limit is one."""
    assert go.parse_float(text) == number


@pytest.mark.parametrize("text", ["", "1,5", "abc", "1e400"])
def test_what_is_no_float_is_refused(text: str) -> None:
    """Too large a number is an error in Go, not infinity."""
    with pytest.raises(ValueError, match=r"must be a number|is out of range"):
        go.parse_float(text)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("300s", 300 * 10**9),
        ("1h1.5s", 3601500 * 10**6),
        ("-1m", -60 * 10**9),
        (".5ms", 500_000),
        ("1µs", 1000),
        ("+1us2ns", 1002),
    ],
)
def test_a_duration_is_read(text: str, nanoseconds: int) -> None:
    """Units add up, the sign holds for all."""
    assert go.parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "300", "5 m", "1d", "-", "1s2", "1sx2s", "9300000000s", "1" * 5000 + "h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A number without a unit stops Blnk."""
    with pytest.raises(ValueError, match=r"must be a duration|is out of range"):
        go.parse_duration(text)


def test_a_product_wraps() -> None:
    """``30m`` times a second is a negative lock duration, as in Blnk 0.13.2."""
    assert go.wrap_int64(30 * 60 * 10**9 * 10**9) < 0
    assert go.wrap_int64(5) == 5


@pytest.mark.parametrize(
    ("address", "parts"), [("h:1", ("h", "1")), ("[::1]:5", ("::1", "5")), (":6379", ("", "6379")), ("h:", ("h", ""))]
)
def test_an_address_is_split(address: str, parts: tuple[str, str]) -> None:
    """IPv6 stands in brackets."""
    assert go.split_host_port(address) == parts


@pytest.mark.parametrize("address", ["h", "::1", "[::1]", "[::1", "a[b:1", "h1:1,h2:2"])
def test_what_is_no_address_is_refused(address: str) -> None:
    """Go does not guess a port."""
    with pytest.raises(ValueError, match="has"):
        go.split_host_port(address)
