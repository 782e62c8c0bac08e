"""Files that are read once at load: configuration and mounted secrets, with the bounds that keep a wrong path harmless."""

from dataclasses import dataclass, field
from pathlib import Path

SECRET_BYTES_MAX = 65_536
CONFIG_BYTES_MAX = 1_048_576


@dataclass
class Files:
    """Reads files under a working directory and remembers each one, read or missing, so that a change can be seen."""

    directory: Path
    seen: dict[Path, None] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Tell where a name leads, and remember it."""
        path = self.directory / name
        self.seen.setdefault(path)
        return path

    def exists(self, name: str) -> bool:
        """Tell whether something stands there; what cannot be looked at is taken to be there, and fails when read."""
        try:
            self.path(name).stat()
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            return True
        return True

    def read(self, name: str, bytes_max: int = CONFIG_BYTES_MAX) -> bytes:
        """Read a regular file whole; raises ValueError that says in a person's words why it cannot be read."""
        path = self.path(name)
        try:
            # A pipe or a terminal would keep us waiting.
            if not path.is_file():
                raise ValueError("is no regular file" if path.exists() else "does not exist")
            with path.open("rb") as file:
                content = file.read(bytes_max + 1)
        except OSError as error:
            reason = (error.strerror or "unknown error").lower()
            raise ValueError(f"cannot be read: {reason}") from None
        if len(content) > bytes_max:
            raise ValueError(f"is larger than {bytes_max // 1024} KiB")
        return content

    def secret(self, name: str) -> str:
        """Read a secret; the line break at its end is not part of it."""
        content = self.read(name, SECRET_BYTES_MAX)
        if b"\0" in content:
            raise ValueError("holds a NUL byte")
        try:
            text = content.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            text = None
        if text is None:
            raise ValueError("is not UTF-8 text")
        if not text.strip():
            raise ValueError("is empty")
        return text
