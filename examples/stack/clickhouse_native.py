"""ClickHouse's Native format as a client of the HTTP protocol wants it.

A client that sends `client_protocol_version` reads blocks with a block info in front and one byte after each column's
type that says how the column is serialized (`Block.Decode` of clickhouse-go 2.47). The engine in-process writes
protocol revision 0, which has neither.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REVISION_WITH_SERIALIZATION: Final = 54_454
BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"  # 1: is_overflows = 0; 2: bucket_num = -1; 0: the end
DEFAULT_SERIALIZATION: Final = b"\x00"


class BlockTooLargeError(Exception):
    """A result has more rows than fit into one block."""


def varint(number: int) -> bytes:
    """Encode an unsigned LEB128 number."""
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def read_varint(data: bytes, offset: int) -> tuple[int, int]:
    """Decode an unsigned LEB128 number; return it and the offset after it."""
    number = shift = 0
    while True:
        byte = data[offset]
        offset += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, offset
        shift += 7


def read_string(data: bytes, offset: int) -> tuple[bytes, int]:
    """Decode a string with its length in front; return it and the offset after it."""
    length, offset = read_varint(data, offset)
    return data[offset : offset + length], offset + length


def for_client(block: bytes, scratch: Path, query: Callable[[str, str], bytes]) -> bytes:
    """Rewrite one block of revision 0 for a client of revision 54,454 or later.

    Where a column ends can only be known by one who knows every type's encoding: the engine itself is asked, with
    `query(sql, format)`, for each column alone. `scratch` is a file that it may read the block back from.

    Raises BlockTooLargeError when `block` is really several.
    """
    if not block:
        return b""
    scratch.write_bytes(block)
    source = f"file('{scratch}', 'Native')"
    names = _names(query(f"DESCRIBE TABLE {source}", "JSONEachRow"))
    count, offset = read_varint(block, 0)
    rows, _ = read_varint(block, offset)
    total = int(query(f"SELECT count() FROM {source}", "TabSeparated"))  # noqa: S608 - a path of ours
    if total != rows:
        raise BlockTooLargeError(f"{total} rows in blocks of {rows}")
    if len(names) != count:
        raise BlockTooLargeError("columns of the same name cannot be told apart")
    columns = [_column(query(f"SELECT {name} FROM {source}", "Native")) for name in names]  # noqa: S608 - quoted names
    return b"".join([BLOCK_INFO, varint(count), varint(rows), *columns])


def _names(described: bytes) -> list[str]:
    """Return the quoted names out of what DESCRIBE TABLE says."""
    names = [json.loads(line)["name"] for line in described.splitlines()]
    return ["`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`" for name in names]


def _column(block: bytes) -> bytes:
    """Return name, type, serialization and data of a block's only column."""
    _, offset = read_varint(block, 0)
    _, start = read_varint(block, offset)
    _, offset = read_string(block, start)
    _, offset = read_string(block, offset)
    return block[start:offset] + DEFAULT_SERIALIZATION + block[offset:]
