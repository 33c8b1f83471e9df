"""Names as people and files gave them, made fit for any output: terminals, logs, XML, protocol buffers, UTF-8."""

from __future__ import annotations

import re

# Control characters, line and paragraph separators, bidirectional overrides, surrogates, and what XML does not allow.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    r"""`text` with each character that no output can hold written as an escape: `\x1b`, `\u2028`.

    A byte of a file name that is not UTF-8, which Python reads as a surrogate, is written as that byte: `\xff`. The result
    encodes as UTF-8, is one line, and stays as it is when passed in again. Blanks alone are written as escapes too.
    """
    if text and not text.strip():
        return "".join(map(_escape, text))
    return _UNFIT.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
