"""Rendered files on disk: all of them or none, and nobody else's touched."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

from ..errors import CannotWrite

MARK = "Rendered by `blnk-exporter render "
"""Stands in every file of ours: one without it belongs to somebody else."""


def differences(files: Mapping[str, str], directory: Path, owned: Iterable[str]) -> Iterator[str]:
    """What has to change for the directory to hold exactly these files, in words; ``owned`` are patterns of ours."""
    for name, text in files.items():
        try:
            if (directory / name).read_text("utf-8") != text:
                yield f"{directory / name} is not what would be rendered"
        except FileNotFoundError:
            yield f"{directory / name} is missing"
        except (OSError, UnicodeDecodeError) as error:
            yield f"{directory / name} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}"
    yield from (f"{path} belongs to nothing that is rendered" for path in _orphans(files, directory, owned))


def write(files: Mapping[str, str], directory: Path, owned: Iterable[str]) -> list[Path]:
    """Put these files into a directory; raises CannotWrite, and then nothing has changed.

    New texts are written beside the old ones first: what can fail has failed before the first file is replaced. A file
    that is not ours stays, and one where ours should go is a reason to write none. Gives what looks like ours and was not
    written now: it may be somebody's copy, and stays as well.
    """
    written: list[tuple[Path, Path]] = []
    target = directory
    try:
        for name in files:
            if (directory / name).is_file() and not _is_ours(directory / name):
                raise CannotWrite(f"{directory / name} is in the way: nothing in it says that it was rendered by us")
        for name, text in files.items():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, prefix=".", delete=False) as new:
                written.append((Path(new.name), target))
                new.write(text)
            Path(new.name).chmod(0o644)
            if target.is_dir():
                raise IsADirectoryError(0, "is a directory")
        while written:
            new_path, target = written.pop(0)
            new_path.replace(target)
    except OSError as error:
        for new_path, _ in written:
            new_path.unlink(missing_ok=True)
        raise CannotWrite(f"cannot write {target}: {error.strerror}") from None
    return _orphans(files, directory, owned)


def _orphans(files: Mapping[str, str], directory: Path, owned: Iterable[str]) -> list[Path]:
    """What was rendered once, and belongs to nothing any more."""
    wanted = {directory / name for name in files}
    found = sorted(path for pattern in owned for path in directory.glob(pattern) if path not in wanted)
    return [path for path in found if _is_ours(path)]


def _is_ours(path: Path) -> bool:
    try:
        return MARK in path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
