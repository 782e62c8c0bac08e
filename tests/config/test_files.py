"""Files that are read once, within bounds."""

import os
import stat
from pathlib import Path

import pytest

from blnk_exporter.config.files import Files


def test_every_file_is_remembered(tmp_path) -> None:
    """A missing one too: its coming is a change."""
    files = Files(tmp_path)
    assert not files.exists("a")
    assert files.path("/b") == Path("/b")
    assert list(files.seen) == [tmp_path / "a", Path("/b")]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("dir", "is no regular file"),
        ("pipe", "is no regular file"),
        ("none", "does not exist"),
        ("x" * 300, "cannot be read: file name too long"),
        ("nul\0", "does not exist"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, name, what) -> None:
    """A pipe must not keep the exporter waiting."""
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=what):
        Files(tmp_path).read(name)


def test_what_cannot_be_looked_at_is_taken_to_exist(tmp_path) -> None:
    """Then reading it says why it cannot be."""
    assert Files(tmp_path).exists("x" * 300)
    assert Files(tmp_path).exists("nul\0")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_said(tmp_path) -> None:
    """Most often the secret belongs to another user."""
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").chmod(stat.S_IWUSR)
    with pytest.raises(ValueError, match="cannot be read: permission denied"):
        Files(tmp_path).read("a")


def test_a_large_file_is_refused(tmp_path) -> None:
    """A wrong path may lead to a database's file."""
    (tmp_path / "a").write_bytes(b"x" * 11)
    with pytest.raises(ValueError, match="is larger than 0 KiB"):
        Files(tmp_path).read("a", 10)
    assert Files(tmp_path).read("a", 11) == b"x" * 11
