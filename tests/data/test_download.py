"""The download: resumed where it broke off, verified, one process at a time, and clear about what to do without a network."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from resnet_lit.data import cifar10, download, sources
from resnet_lit.data.paths import Place

CONTENT = bytes(range(256)) * 4000  # 1 MB
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; breaks off after `breaks[0]` bytes of the next answer, if there is one left."""

    breaks: list[int]
    ranges = True
    status = 200
    content = CONTENT

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.breaks, self.requests = [], []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/cifar-10-python.tar.gz"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        asked = self.headers.get("Range")
        server.requests.append(asked)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and server.ranges else 0  # type: ignore[index]
        if server.status != 200:
            self.send_error(server.status)
            return
        if start >= len(server.content):
            self.send_error(416)
            return
        self.send_response(206 if asked and server.ranges else 200)
        if asked and server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        body = server.content[start:]
        self.wfile.write(body[: server.breaks.pop(0)] if server.breaks else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0.01)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def get(server: Server, target: Path, md5: str = MD5) -> list[tuple[int, int, str]]:
    seen: list[tuple[int, int, str]] = []
    download.download(server.url, target, md5, lambda *call: seen.append(call))
    return seen


def test_a_file_is_downloaded_with_progress(server, tmp_path) -> None:
    seen = get(server, tmp_path / "deep/file.tar.gz")
    assert (tmp_path / "deep/file.tar.gz").read_bytes() == CONTENT
    assert not list((tmp_path / "deep").glob("*.part"))
    assert seen[-1] == (len(CONTENT), len(CONTENT), f"downloading {server.url}")


def test_a_broken_connection_goes_on_where_it_broke(server, tmp_path) -> None:
    server.breaks = [300_000, 200_000]
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.requests == [None, "bytes=300000-", "bytes=500000-"]


def test_an_interrupted_download_is_continued_by_the_next_call(server, tmp_path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:700_000])
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.requests == ["bytes=700000-"]


def test_a_whole_part_only_gets_its_name(server, tmp_path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_of_another_file_is_thrown_away(server, tmp_path) -> None:
    (tmp_path / "file.part").write_bytes(b"other" * 1000)
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.requests == ["bytes=5000-", None]


def test_a_server_without_ranges_starts_again(server, tmp_path) -> None:
    server.ranges = False
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server, tmp_path) -> None:
    with pytest.raises(download.DownloadError, match=f"has md5 {MD5} instead of 0000"):
        get(server, tmp_path / "file", md5="0000")
    assert not (tmp_path / "file").exists()
    assert not (tmp_path / "file.part").exists()


def test_a_server_that_brings_nothing_is_given_up(server, tmp_path) -> None:
    server.breaks = [0] * 10
    with pytest.raises(download.DownloadError, match="broke off"):
        get(server, tmp_path / "file")
    assert len(server.requests) == download.BARREN_ATTEMPTS


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (503, 3)])
def test_an_answer_that_is_an_error_is_named(server, tmp_path, status, requests) -> None:
    server.status = status
    with pytest.raises(download.DownloadError, match=f"HTTP {status}"):
        get(server, tmp_path / "file")
    assert len(server.requests) == requests


TOGETHER = """
import sys
from pathlib import Path
from resnet_lit.data import download
download.download(sys.argv[1], Path(sys.argv[2]), sys.argv[3], lambda *_: None)
"""


def test_of_four_processes_one_downloads(server, tmp_path) -> None:
    words = [sys.executable, "-c", TOGETHER, server.url, str(tmp_path / "file"), MD5]
    processes = [subprocess.Popen(words) for _ in range(4)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 4
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.requests == [None]


# --- through sources.load


@pytest.fixture
def served(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server stands for the publisher. What it serves is no archive: that is said when it has come and is looked at."""
    monkeypatch.setattr(cifar10, "URL", server.url)
    monkeypatch.setattr(cifar10, "ARCHIVE_MD5", MD5)
    return server


def test_where_no_root_is_named_the_original_goes_to_the_cache_or_where_data_download_says(served, refusal, tmp_path) -> None:
    (tmp_path / "begun").mkdir()
    (tmp_path / f"begun/{cifar10.ARCHIVE}.part").write_bytes(CONTENT[:10])
    for download_to, place in {
        None: tmp_path / "cache/downloads",
        tmp_path / "made/for/it": tmp_path / "made/for/it",
        tmp_path / "begun": tmp_path / "begun",
    }.items():
        assert "neither a .tar.gz" in refusal("cifar10", None, download_to=download_to)
        assert (place / cifar10.ARCHIVE).read_bytes() == CONTENT
    assert served.requests == [None, None, "bytes=10-"]
    refusal("cifar10", None, download_to=tmp_path / "begun")
    assert len(served.requests) == 3  # it is there


@pytest.mark.parametrize("kind", ["missing", "empty", "unfinished"])
def test_a_root_that_a_user_named_is_never_downloaded_into(served, refusal, tmp_path, kind) -> None:
    root = tmp_path / "mnt/data"
    if kind != "missing":
        root.mkdir(parents=True)
    if kind == "unfinished":
        (root / f"{cifar10.ARCHIVE}.part").write_bytes(CONTENT[:10])
    for named, key in ((root, "data.root"), (Place(root, "RESNET_LIT_DATA"), "RESNET_LIT_DATA")):
        text = refusal("cifar10", named, key=f"{key}={root}: {'no such file' if kind == 'missing' else 'holds nothing'}")
        assert f"without {key}, data.download={root} downloads" in text
        assert sources.identify("cifar10", named, cache_dir=tmp_path / "cache") is None
    assert served.requests == []
    assert root.exists() == (kind != "missing")


def test_a_download_folder_that_cannot_be_written_names_its_key(served, refusal, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    refusal("cifar10", None, key=f"data.download={tmp_path / 'file/x'}: cannot be written", download_to=tmp_path / "file/x")
    refusal("cifar10", None, key=f"data.cache={tmp_path / 'file'}/downloads: cannot be written", cache_dir=tmp_path / "file")


def test_without_a_network_the_ways_to_supply_the_data_are_named(refusal, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0)
    monkeypatch.setattr(cifar10, "URL", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    text = refusal("cifar10", None, key="data.root=null: ")
    assert "downloading http://127.0.0.1:9/cifar-10-python.tar.gz failed (Connection refused)" in text
    assert "set RESNET_LIT_DATA or data.root to cifar-10-python.tar.gz, to its extracted folder, or to a tree train/" in text
    assert sources.identify("cifar10", None, cache_dir=tmp_path / "cache") is None
