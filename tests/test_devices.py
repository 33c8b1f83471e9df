"""An accelerator that is not here is refused by name."""

from __future__ import annotations

import pytest
import torch

from resnet_lit import devices
from resnet_lit.sections import Trainer
from resnet_lit.typed import ConfigError


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    return monkeypatch


@pytest.mark.parametrize("accelerator", ["gpu", "cuda", "mps"])
def test_what_torch_does_not_find_is_refused(gpus: pytest.MonkeyPatch, accelerator: str) -> None:
    gpus.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=rf"^trainer\.accelerator={accelerator}: .*trainer\.accelerator=auto"):
        devices.check(Trainer(accelerator=accelerator))
    gpus.setattr(devices, "FILES", ("/nowhere*",))
    gpus.setattr(devices.sys, "platform", "linux")
    if accelerator != "mps":
        with pytest.raises(ConfigError, match="there is no GPU on this machine"):
            devices.check_quickly(Trainer(accelerator=accelerator))
    for fitting in ("auto", "cpu"):
        devices.check(Trainer(accelerator=fitting, devices=4))
        devices.check_quickly(Trainer(accelerator=fitting))


def test_more_devices_than_there_are(gpus: pytest.MonkeyPatch) -> None:
    for fitting in (1, 2, "auto", -1, (0, 1)):
        devices.check(Trainer(accelerator="gpu", devices=fitting))
    with pytest.raises(ConfigError, match=r"^trainer\.devices=4: torch finds 2 GPUs here \(try trainer\.devices=2\)"):
        devices.check(Trainer(devices=4))
    with pytest.raises(ConfigError, match=r"^trainer\.devices=\[0, 2\]: there is no GPU 2"):
        devices.check(Trainer(accelerator="cuda", devices=(0, 2)))
