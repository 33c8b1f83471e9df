"""TensorBoard's event files, damaged: what can be read is, and what cannot is told."""

from __future__ import annotations

import random
import struct

import pytest
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from resnet_lit.event_file import AROUND, read

CONTENTS = [bytes([number]) * (20 + number) for number in range(30)]


def record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", masked_crc32c(length)) + content + struct.pack("<I", masked_crc32c(content))


WHOLE = b"".join(map(record, CONTENTS))
PLACE = sum(len(content) + AROUND for content in CONTENTS[:10])  # of the eleventh record


def test_a_whole_file_is_read_as_far_as_it_counts() -> None:
    assert read(WHOLE, len(WHOLE)) == read(WHOLE + b"more", len(WHOLE))
    assert read(WHOLE, len(WHOLE)).contents == CONTENTS
    assert read(WHOLE, len(WHOLE)).damage is None
    assert read(WHOLE, PLACE).contents == CONTENTS[:10]


@pytest.mark.parametrize("offset", [0, 9, 15, AROUND + 25])
def test_one_damaged_record_costs_no_other(offset: int) -> None:
    """In its length, the checksum of it, its content and that one's checksum."""
    damaged = bytearray(WHOLE)
    damaged[PLACE + offset] ^= 1
    found = read(bytes(damaged), len(WHOLE))
    assert found.contents == [content for number, content in enumerate(CONTENTS) if number != 10]
    assert found.damage == f"damaged in 1 place, from byte {PLACE:,} of {len(WHOLE):,} on"


def test_a_file_cut_short_says_so() -> None:
    found = read(WHOLE[: PLACE + 5], len(WHOLE))
    assert found.contents == CONTENTS[:10]
    assert found.damage.endswith(f"cut short ({PLACE + 5:,} of {len(WHOLE):,} bytes)")
    assert read(b"", 100).damage == "cut short (0 of 100 bytes)"


def test_whatever_is_damaged_nothing_false_is_read() -> None:
    draw = random.Random(0)
    for _ in range(50):
        damaged = bytearray(WHOLE)
        for _ in range(3):
            damaged[draw.randrange(len(WHOLE))] ^= 1 << draw.randrange(8)
        found = read(bytes(damaged), len(WHOLE))
        assert found.damage is not None
        assert len(found.contents) >= 27
        assert set(found.contents) <= set(CONTENTS)
