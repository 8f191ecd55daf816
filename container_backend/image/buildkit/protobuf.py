"""The part of the protocol buffers' wire format that BuildKit's messages need.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT: Final = 0
_BYTES: Final = 2
# Wire type of fixed-length values → bytes.
_FIXED_LENGTHS: Final = {1: 8, 5: 4}


def encode_varint(value: int) -> bytes:
    """A non-negative number, seven bits a byte, little-endian."""
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004 what fits into seven bits
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_bytes(field: int, value: bytes) -> bytes:
    """A field with bytes, a text or a message."""
    return encode_varint(field << 3 | _BYTES) + encode_varint(len(value)) + value


def encode_number(field: int, value: int) -> bytes:
    """A field with a non-negative number."""
    return encode_varint(field << 3 | _VARINT) + encode_varint(value)


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message.

    Raises:
        ValueError: The message is cut off, or is no message.
    """
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            length, position = _varint(message, position)
        elif kind in _FIXED_LENGTHS:
            length = _FIXED_LENGTHS[kind]
        else:
            raise ValueError(f"wire type {kind} is not known")
        if position + length > len(message):
            raise ValueError("the message is cut off")
        yield number, message[position : position + length]
        position += length


def text_of(value: int | bytes | None) -> str:
    """The value of a text field; empty for a missing field."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 the high bit says that more bytes follow
            return value, position
        shift += 7
    raise ValueError("the message is cut off")
