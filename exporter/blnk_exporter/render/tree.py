"""Rendered files on disk: all of them or none."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

from ..errors import CannotWrite


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


def write(files: Mapping[str, str], directory: Path, owned: Iterable[str]) -> None:
    """Make the directory hold exactly these files of ours; raises CannotWrite, and then nothing has changed.

    New texts are written beside the old ones first: what can fail has failed before the first file is replaced.
    """
    written: list[tuple[Path, Path]] = []
    orphans = _orphans(files, directory, owned)
    try:
        for name, text in files.items():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, prefix=".", delete=False) as new:
                written.append((Path(new.name), target))
                new.write(text)
            Path(new.name).chmod(0o644)
            if target.is_dir():
                raise IsADirectoryError(0, "is a directory", str(target))
        while written:
            new_path, target = written.pop(0)
            new_path.replace(target)
        for orphan in orphans:
            orphan.unlink()
    except OSError as error:
        for new_path, _ in written:
            new_path.unlink(missing_ok=True)
        raise CannotWrite(f"cannot write {error.filename or directory}: {error.strerror}") from None


def _orphans(files: Mapping[str, str], directory: Path, owned: Iterable[str]) -> list[Path]:
    ours = {directory / name for name in files}
    return sorted(path for pattern in owned for path in directory.glob(pattern) if path not in ours)
