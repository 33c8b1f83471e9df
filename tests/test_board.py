"""TensorBoard on run folders, for this machine alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request

import pytest
from tests_support import ROOT


@pytest.mark.parametrize(
    ("words", "said"), [(["nowhere"], "nowhere: no such folder"), ([".", "tests"], "tests: TensorBoard shows one")]
)
def test_words(command, words, said) -> None:
    ended = command(*words, module="board")
    assert ended.returncode == 2
    assert ended.stderr.startswith(said)


@pytest.mark.slow
def test_it_serves_this_machine_alone(tmp_path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "resnet_lit.board", ".", "--port=0"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert server.stderr is not None
        address = next(found[0] for line in server.stderr if (found := re.search(r"http://\S+", line)))
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{address}data/runs", timeout=60) as answer:
            assert answer.status == 200
    finally:
        server.kill()
        server.communicate()
