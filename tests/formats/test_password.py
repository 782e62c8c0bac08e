"""bcrypt's hashes: which are taken, and what matches."""

import pytest

from blnk_exporter.formats import password


def hashed(word: bytes, cost: int = 4) -> str:
    import bcrypt  # noqa: PLC0415

    return bcrypt.hashpw(word, bcrypt.gensalt(cost)).decode()


@pytest.mark.parametrize("letter", ["a", "b", "y"])
def test_each_kind_of_hash_matches(letter) -> None:
    """htpasswd, PHP and Go each write a letter of their own."""
    text = hashed(b"pass:word").replace("$2b$", f"$2{letter}$")
    assert password.cost(text) == 4
    assert password.matches("pass:word", text)
    assert not password.matches("pass:wore", text)


def test_what_follows_72_bytes_does_not_count() -> None:
    """As with htpasswd, whose users may have a longer one."""
    assert password.matches("x" * 80, hashed(b"x" * 72))
    assert not password.matches("x" * 71, hashed(b"x" * 72))


def test_zero_bytes_end_nothing() -> None:
    """An old weakness of bcrypt's libraries in C."""
    assert not password.matches("a\0b", hashed(b"a"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "$2y$10$short",
        "$1$10$" + "a" * 53,
        "$2x$10$" + "." * 53,
        "$2y$1$" + "." * 53,
        "$2b$04$" + "z" * 53,
    ],
)
def test_no_hash_is_refused_without_showing_it(text) -> None:
    """Somebody may have put the password itself there."""
    with pytest.raises(ValueError, match="must be a bcrypt hash") as caught:
        password.cost(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("cost", [3, 15, 31])
def test_a_cost_that_would_stop_us_is_refused(cost) -> None:
    """31 would take a day."""
    with pytest.raises(ValueError, match=f"has cost {cost}; it must be from 4 to 14"):
        password.cost(password.nobodys(cost))


def test_nobodys_hash_can_be_compared_with() -> None:
    """It costs as much as any, and nothing matches."""
    text = password.nobodys(4)
    assert password.cost(text) == 4
    assert not password.matches("", text)
    assert not password.matches("." * 31, text)
