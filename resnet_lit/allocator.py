"""Keep freed memory for the next step: on a CPU that is worth a quarter of the speed (docs/performance.md).

glibc gives every block above 32 MiB back to the kernel as soon as it is freed and takes a fresh one for the next tensor, which
the kernel zeroes and maps page by page, at every layer of every step. At batch 128, Model 4 has activations of 33.5 MB.
"""

from __future__ import annotations

import ctypes
import sys

# mallopt(3), <malloc.h>
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Take all memory from the heap from now on, and keep up to 2 GiB of it when it is free.

    False where the C library knows no such thing (macOS, Windows, musl).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
