"""A real Chromium without a window, and a page that notes what goes wrong in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


def _missing(what: str) -> NoReturn:
    if os.environ.get("RESNET_LIT_BROWSER_REQUIRED"):
        pytest.fail(f"RESNET_LIT_BROWSER_REQUIRED is set, but there is no {what}")
    pytest.skip(f"no {what}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, one for all tests; skipped by name where it or playwright is missing."""
    program = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if program is None:
        _missing(f"Chromium ({', '.join(CHROMIUMS)})")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("package playwright")
    with sync_playwright() as playwright:
        # no sandbox: it wants user namespaces, which a container seldom has; nor may its /dev/shm be large enough
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield chromium
        chromium.close()


@pytest.fixture
def complaints() -> list[str]:
    """What went wrong in `page` so far: errors on the console, exceptions, requests that failed or were answered with one."""
    return []


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    """An empty page, 1400 x 900 px, of a context of its own; `page.set_viewport_size`, `page.emulate_media` change it."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    opened = context.new_page()
    opened.on("console", lambda message: complaints.append(f"console: {message.text}") if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    opened.on("requestfailed", lambda request: complaints.append(f"failed: {request.url} ({request.failure})"))
    opened.on("response", lambda answer: complaints.append(f"{answer.status}: {answer.url}") if answer.status >= 400 else None)
    yield opened
    context.close()
