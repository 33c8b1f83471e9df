"""Download one file: resumable, verified before it gets its name, by one process at a time."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from filelock import FileLock

from resnet_lit.data.errors import Progress, reason

TIMEOUT = 30.0  # seconds without a byte
BARREN_ATTEMPTS = 3  # in a row that brought nothing
PAUSE = 1.0  # seconds between attempts
CHUNK = 1 << 18


class DownloadError(Exception):
    """Why a file could not be had."""


def download(url: str, target: Path, md5: str, progress: Progress) -> None:
    """Bring `url` to `target`; what an interrupted download left in `<target>.part` is continued.

    Processes that start together wait for the one that downloads. Raises DownloadError, and OSError where the folder
    cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        if target.exists():  # another process has been quicker
            return
        part = target.with_name(f"{target.name}.part")
        resumed = part.exists()
        _fetch(url, part, progress)
        if _md5(part) != md5 and resumed:  # its beginning may be of another file: once more, from the start
            part.unlink()
            _fetch(url, part, progress)
        found = _md5(part)
        if found != md5:
            part.unlink()
            raise DownloadError(f"the downloaded file has md5 {found} instead of {md5}")
        part.replace(target)


def _fetch(url: str, part: Path, progress: Progress) -> None:
    """Append to `part` until it is whole, however often the connection breaks, as long as something comes."""
    barren = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _attempt(url, part, before, progress):
                return
            why = "the connection broke off"
        except urllib.error.HTTPError as error:
            why = f"HTTP {error.code} {error.reason}"
            if error.code < 500:
                raise DownloadError(why) from error
        except urllib.error.URLError as error:
            why = reason(error.reason) if isinstance(error.reason, BaseException) else str(error.reason)
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            why = reason(error)
        barren = 0 if part.exists() and part.stat().st_size > before else barren + 1
        if barren >= BARREN_ATTEMPTS:
            raise DownloadError(why)
        time.sleep(PAUSE)


def _attempt(url: str, part: Path, have: int, progress: Progress) -> bool:
    """One request; whether the file is whole now."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response: IO[bytes] = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing lies beyond what we have
            return True
        raise
    with response:
        headers = response.headers  # type: ignore[attr-defined]
        start = have if response.status == 206 else 0  # type: ignore[attr-defined]
        if start and not headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise http.client.HTTPException(f"asked for bytes from {have}, got {headers.get('Content-Range')}")
        length = headers.get("Content-Length")
        total = start + int(length) if length else 0
        done = start
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            while chunk := response.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, total, f"downloading {url}")
    return not total or done >= total


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
