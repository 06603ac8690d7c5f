"""A directory in a YAML or JSON file."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from otel_dynabase.directory.source import UnusableError

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable, Iterable, Iterator, Mapping

MAX_BYTES: Final = 64 * 1024 * 1024
SECRETS: Final = frozenset({"password", "passwd", "secret", "token", "api_key", "private_key", "dsn"})
"""Fields that do not belong into a file that every service reads."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class FileSource:
    """Rows from a file: `tenants:` with a list of mappings, or a mapping of project_id to fields, or that list alone.

    Replace the file by renaming: a half-written one may be read. YAML itself keeps the last of two equal keys.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()  # the application may change its working directory
        self.name = str(path)

    def version(self) -> Hashable:
        """Return what changes when the file is written, replaced or given to another: costs one stat()."""
        now = self.path.stat()
        return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns

    def load(self) -> Iterable[Mapping[str, object]]:
        """Return the file's rows.

        Raises OSError, or UnusableError with line and column of what cannot be read.
        """
        return list(_rows(parse(read_text(self.path, MAX_BYTES), self.path.suffix)))


def read_text(path: Path, max_bytes: int) -> str:
    """Return a file's text. Raises OSError, or UnusableError if it is no regular UTF-8 file of at most `max_bytes`."""
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
        raise UnusableError("it is not a regular file")
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise UnusableError(f"it is larger than {max_bytes:,} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnusableError(f"line {line}: it is not UTF-8") from None
    if not text.strip():
        raise UnusableError("it is empty")  # as it is for a moment while a program writes it
    return text


def parse(text: str, suffix: str) -> object:
    """Read JSON where it looks like JSON (fast), otherwise YAML. Raises UnusableError with line and column."""
    if suffix.lower() == ".json" or text.lstrip()[0] in "{[":
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            if suffix.lower() == ".json":
                raise UnusableError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    try:
        return yaml.load(text, Loader=_LOADER)  # noqa: S506 - both loaders are the safe one, in C or in Python
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UnusableError(f"{place}{error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:  # gives a position in bytes or characters, as the parser pleases
        line = text.count("\n", 0, text.find(chr(error.character))) + 1
        raise UnusableError(f"line {line}: a character #x{error.character:02x} is not allowed") from None


def _rows(content: Any) -> Iterator[Any]:
    """Find the rows in a parsed file; what is no mapping is passed on for the reader of rows to refuse."""
    if isinstance(content, dict) and isinstance(content.get("tenants"), (list, dict)):
        content = content["tenants"]
    if isinstance(content, dict):
        content = [_row(project_id, fields) for project_id, fields in content.items()]
    if not isinstance(content, list):
        raise UnusableError("it has neither a list `tenants:` nor a mapping of project_id to fields")
    for row in content:
        if isinstance(row, dict) and (found := SECRETS.intersection(str(name).lower() for name in row)):
            raise UnusableError(
                f"it contains secrets (a field `{min(found)}`): every service reads it, keep them elsewhere"
            )
        yield row


def _row(project_id: object, fields: object) -> object:
    if fields is None:
        return {"project_id": project_id}
    return {**fields, "project_id": project_id} if isinstance(fields, dict) else (project_id, fields)
