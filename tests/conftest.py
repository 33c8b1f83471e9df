"""What several tests need: the command as a user runs it, a cache of decoded images, the real data where they are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for tests_support

from tests_support import ROOT

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the processes that tests start compile the package once, as for a user


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded images of the tests stay out of the user's cache; made once for the whole session."""
    os.environ.setdefault("RESNET_LIT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _own_modules_leave_with_their_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A module that a test has written into its folder is not what the next test finds under the same name."""
    yield
    written = str(tmp_path_factory.getbasetemp())
    for name, module in [*sys.modules.items()]:
        if (getattr(module, "__file__", None) or "").startswith(written):
            del sys.modules[name]


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`command("+experiment=digits", …)`: python -m resnet_lit.train in an empty folder; its output as text."""

    def run(*words: str, module: str = "train", timeout: float = 240, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"resnet_lit.{module}", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )

    return run


@pytest.fixture(params=["RESNET_LIT_DATA", "RESNET_LIT_DATA_JPEG"])
def real_data(request: pytest.FixtureRequest) -> Path:
    """CIFAR-10, and a copy of it as a tree of JPEG files; skipped by name where the variable does not say where they are."""
    root = os.environ.get(request.param)
    if not root:
        if os.environ.get("RESNET_LIT_DATA_REQUIRED"):
            pytest.fail(f"RESNET_LIT_DATA_REQUIRED is set, but {request.param} is not")
        pytest.skip(f"{request.param} is not set: no real images")
    return Path(root)
