"""Imports torchmetrics without SciPy's signal processing. A module imports this first, before torchmetrics or Lightning.

torchmetrics loads scipy.signal for the sake of one name, which it puts back for a package about sound: a seventh of the time of a
run's imports. A module with that name in it stands there meanwhile; `import scipy.signal` afterwards gives the real one.
"""

from __future__ import annotations

import contextlib
import sys
from types import ModuleType

SIGNAL = "scipy.signal"


def _import_torchmetrics() -> None:
    stand_in = ModuleType(SIGNAL)
    stand_in.__dict__["hamming"] = None
    sys.modules[SIGNAL] = stand_in
    try:
        with contextlib.suppress(ImportError, AttributeError):  # where it needs more of SciPy, its next import loads it all
            import torchmetrics  # noqa: F401
    finally:
        del sys.modules[SIGNAL]


if SIGNAL not in sys.modules and "torchmetrics" not in sys.modules:
    _import_torchmetrics()
