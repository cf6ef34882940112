"""Messages over a pipe: eight bytes of length, then as many bytes."""

import struct
from typing import BinaryIO

LENGTH = struct.Struct(">Q")


def pack(message: bytes) -> bytes:
    """Put its length before a message."""
    return LENGTH.pack(len(message)) + message


def read_frame(source: BinaryIO) -> bytes | None:
    """Read a message; None where the other side has closed the pipe."""
    length = source.read(LENGTH.size)
    if len(length) < LENGTH.size:
        return None
    message = source.read(LENGTH.unpack(length)[0])
    return message if len(message) == LENGTH.unpack(length)[0] else None
