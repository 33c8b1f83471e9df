"""Whether the accelerator that a config asks for is here; said before anything is written."""

from __future__ import annotations

import sys
from glob import glob

from resnet_lit.sections import Trainer
from resnet_lit.typed import ConfigError

ON_CPU = "train on what is here with trainer.accelerator=auto, or on the CPU with trainer.accelerator=cpu"
FILES = ("/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, and either in WSL


def check(trainer: Trainer) -> None:
    """Raise ConfigError where torch does not find the accelerator, or as many of its devices, as the config asks for."""
    import torch

    name = trainer.accelerator
    gpus, mps = torch.cuda.device_count() if torch.cuda.is_available() else 0, torch.backends.mps.is_available()
    if name in ("gpu", "cuda") and not gpus and not (name == "gpu" and mps):
        built = torch.version.cuda or getattr(torch.version, "hip", None)
        why = (
            "torch finds no GPU here (nvidia-smi lists those that the driver sees)"
            if built
            else (f"this torch ({torch.__version__}) is built for CPUs alone; https://pytorch.org/get-started has those for GPUs")
        )
        raise ConfigError(f"trainer.accelerator={name}: {why}; {ON_CPU}")
    if name == "mps" and not mps:
        raise ConfigError(f"trainer.accelerator=mps: torch finds no Apple GPU here; {ON_CPU}")
    if name not in ("gpu", "cuda", "auto") or not gpus:
        return
    wanted = trainer.devices
    if isinstance(wanted, int) and wanted > gpus:
        raise ConfigError(f"trainer.devices={wanted}: torch finds {gpus} GPU{'s' * (gpus > 1)} here (try trainer.devices={gpus})")
    if isinstance(wanted, tuple) and (absent := [number for number in wanted if number >= gpus]):
        raise ConfigError(f"trainer.devices={list(wanted)}: there is no GPU {absent[0]}; torch finds {gpus}, counted from 0")


def check_quickly(trainer: Trainer) -> None:
    """The same where it needs no torch: raise ConfigError where a GPU is asked for and the system has no device file of one."""
    if trainer.accelerator in ("gpu", "cuda") and sys.platform == "linux" and not any(map(glob, FILES)):
        raise ConfigError(f"trainer.accelerator={trainer.accelerator}: there is no GPU on this machine; {ON_CPU}")
