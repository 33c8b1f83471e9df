"""Names that people have are shown as they are; what no output can hold is escaped."""

from __future__ import annotations

import os

import pytest

from resnet_lit.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat", "cat"),
        ("кошка été [b] R&D", "кошка été [b] R&D"),
        ("a\u200cb", "a\u200cb"),  # Persian is written with it
        ("red\x1b[31m", r"red\x1b[31m"),
        ("two\nlines\u2028", r"two\x0alines\u2028"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        (os.fsdecode(b"\xe9t\xe9"), r"\xe9t\xe9"),
        ("\ud800", r"\ud800"),
        ("  ", r"\x20\x20"),
        ("", ""),
    ],
)
def test_a_name_is_shown_in_characters_that_any_output_holds(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
    shown.encode()
