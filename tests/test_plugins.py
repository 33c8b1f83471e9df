"""A user's own classes, by import path, with no edit to the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests_support import TINY

from resnet_lit.config import load
from resnet_lit.plugins import locate, source_of
from resnet_lit.run import run
from resnet_lit.typed import ConfigError

MINE = '''
import torch
from torch import nn

class Net(nn.Module):
    """A linear classifier."""
    def __init__(self, num_classes, width):
        super().__init__()
        self.layers = nn.Sequential(nn.AdaptiveAvgPool2d(width), nn.Flatten(), nn.Linear(3 * width * width, num_classes))

    def forward(self, images):
        return self.layers(images)

class Lion(torch.optim.SGD):
    """Any class with lr and weight_decay."""
    def __init__(self, params, lr, weight_decay, twist):
        super().__init__(params, lr=lr * twist, weight_decay=weight_decay)

def half(epoch, epochs, share=0.5):
    return share

class Invert:
    """Inverts an image with probability p."""
    def __init__(self, p):
        self.p = p

    def draw(self, n, height, width, generator):
        return {"mask": torch.rand(n, generator=generator) < self.p}

    def __call__(self, images, parameters):
        return torch.where(parameters["mask"].view(-1, 1, 1, 1), 255 - images, images)
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"mine_{tmp_path.name}"  # a module of its own for each test
    (tmp_path / f"{name}.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_what_cannot_be_imported_is_named(mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    with pytest.raises(
        ConfigError, match=r"^model\._target_=no\.such\.Net: cannot be imported: no module no in the current"
    ) as none:
        locate("no.such.Net", "model._target_")
    for said in (str(Path.cwd()), "in PYTHONPATH (/elsewhere)", "the folder that holds no.py"):
        assert said in str(none.value)
    with pytest.raises(ConfigError, match=r"no module email\.nope \(email is there, and has no nope\)"):
        locate("email.nope.Net", "model._target_")
    (tmp_path / f"{mine}_needy.py").write_text("import not_installed")
    with pytest.raises(ConfigError, match=rf"no module not_installed, which {mine}_needy imports, is not installed"):
        locate(f"{mine}_needy.Net", "model._target_")
    with pytest.raises(ConfigError, match="has no attribute 'Nett'"):
        locate(f"{mine}.Nett", "model._target_")
    with pytest.raises(ConfigError, match="must be an import path"):
        locate("Net", "model._target_")


def test_a_change_of_the_source_is_seen(mine: str, tmp_path: Path) -> None:
    before = source_of(f"{mine}.Net")
    (tmp_path / f"{mine}.py").write_text(MINE + "\n# changed\n")
    assert source_of(f"{mine}.Net") != before
    assert source_of("no.such.Net") is None
    assert source_of("builtins.dict") is None


@pytest.mark.slow
def test_a_run_with_nothing_but_the_users_own_classes(mine: str, tmp_path: Path) -> None:
    words = [word for word in TINY if not word.startswith("model.")]
    words += [f"model._target_={mine}.Net", "+model.args.width=4", f"optimizer._target_={mine}.Lion", "+optimizer.args.twist=0.5"]
    words += ["optimizer.momentum=null", f"scheduler._target_={mine}.half", "scheduler.interval=epoch"]
    words += [f"augment._target_={mine}.Invert", "+augment.args.p=0.5"]
    record = run(load(*words), tmp_path / "run")
    assert record["status"] == "finished", record["reason"]
    assert record["model"]["parameters"] == 3 * 16 * 10 + 10
    assert set(record["sources"]) == {"resnet_lit", *(f"{mine}.{name}" for name in ("Net", "Lion", "half", "Invert"))}
