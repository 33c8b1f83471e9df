"""TensorBoard's event files, read record by record: TensorBoard's own reader ends without a word at the first damaged one.

A record is its length (uint64), a CRC-32C of the length, the content, a CRC-32C of the content, little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

LENGTH, CHECK = struct.Struct("<Q"), struct.Struct("<I")
AROUND = LENGTH.size + 2 * CHECK.size  # bytes of a record without its content


@dataclass(frozen=True)
class Events:
    """What could be read. contents: of the whole records, in order. damage: what could not be, in words; None: all is whole."""

    contents: list[bytes]
    damage: str | None


def read(data: bytes, size: int) -> Events:
    """The records in the first `size` bytes of a file, or in all that there is of it. Damaged ones are passed over."""
    end, place, first, lost = min(size, len(data)), 0, None, 0
    contents = []
    while place < end:
        length = _length(data, place, end)
        if length is None:
            first, lost = place if first is None else first, lost + 1
            place = _next(data, place + 1, end)
            continue
        start = place + LENGTH.size + CHECK.size
        content = data[start : start + length]
        if masked_crc32c(content) == CHECK.unpack_from(data, start + length)[0]:
            contents.append(content)
        else:
            first, lost = place if first is None else first, lost + 1
        place += AROUND + length
    said = []
    if first is not None:
        said.append(f"damaged in {lost} place{'s' * (lost != 1)}, from byte {first:,} of {end:,} on")
    if len(data) < size:
        said.append(f"cut short ({len(data):,} of {size:,} bytes)")
    return Events(contents, " and ".join(said) or None)


def _length(data: bytes, place: int, end: int) -> int | None:
    """The length of the content of the record that begins at `place`, None where none does that is over by `end`."""
    if place + AROUND > end:
        return None
    length: int = LENGTH.unpack_from(data, place)[0]
    if place + AROUND + length > end:  # before the checksum, which is slow: most places are ruled out by it
        return None
    whole = masked_crc32c(data[place : place + LENGTH.size]) == CHECK.unpack_from(data, place + LENGTH.size)[0]
    return length if whole else None


def _next(data: bytes, place: int, end: int) -> int:
    """Where the next whole record begins; `end` where there is none."""
    return next((at for at in range(place, end) if _length(data, at, end) is not None), end)
