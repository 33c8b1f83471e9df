"""torch.compile: decided once from the config, tried before training starts, and left alone where it does not work."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.compiler import config as compiler

from resnet_lit.callbacks.timing import Timing
from resnet_lit.display import SHOWN_BY_BAR, Display
from resnet_lit.module import LitClassifier
from resnet_lit.schema import Config

log = logging.getLogger("resnet_lit")

GRAPHS = 64  # that torch keeps of the network, for sizes of images and trained parameters; beyond its own 8 it would run eagerly
COMPILE_FROM_IMAGES = 100_000  # compiling takes half a minute to two minutes; below this it does not pay (docs/performance.md)


def compile_mode(config: Config, steps: int) -> str | None:
    """The mode that a run of so many steps is compiled with, None for eager: from the config alone."""
    if config.compile == "auto":
        return "default" if steps * config.data.batch_size >= COMPILE_FROM_IMAGES else None
    return config.compile or None


class Compilation(Callback):
    """Compiles the network for full training batches and full evaluation batches, before the first step.

    Both are tried on black images, so that what does not compile here is one warning and an eager run, and so that the time is
    known apart. The trial leaves weights, statistics and random states as they were. `mode` is what the run uses in the end;
    checkpoints hold it, and a resumed run uses it again. Where an epoch has images of another size (`data.resolution`), or trains
    other parameters (FrozenStem), the network is compiled for these before its first step.
    """

    def __init__(
        self,
        mode: str | None,
        config: Config,
        image_shape: tuple[int, int, int],
        timing: Timing,
        display: Display,
        pixels_in: Callable[[int], int] | None = None,
    ) -> None:
        """image_shape: (C, H, W) of the images. pixels_in: side of the training images in an epoch, counted from 0; None: H."""
        self.mode = mode
        self.batch_size = config.data.batch_size
        self.image_shape = image_shape
        self.pixels_in = pixels_in or (lambda _: image_shape[-1])
        self.timing, self.display = timing, display
        self._epoch = 0
        self._compiled: set[tuple[tuple[bool, ...], int]] = set()  # for which trained parameters, and which size of images

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._epoch = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._prepare(trainer, pl_module, self._epoch)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._prepare(trainer, pl_module, trainer.current_epoch)

    def _prepare(self, trainer: Trainer, module: LightningModule, epoch: int) -> None:
        """Compile what an epoch needs and has not been compiled."""
        assert isinstance(module, LitClassifier)
        trained, size = tuple(parameter.requires_grad for parameter in module.parameters()), self.pixels_in(epoch)
        if self.mode is not None and (trained, size) not in self._compiled:
            evaluates = all(trained != known for known, _ in self._compiled)
            self._compiled.add((trained, size))
            with self.timing.during("compile"), self.display.during("compiling the network (up to two minutes)"):
                self._compile(trainer, module, size, evaluates)
        module.content["compile"] = self.mode

    def _compile(self, trainer: Trainer, module: LitClassifier, size: int, evaluates: bool) -> None:
        images = "" if size == self.image_shape[-1] else f" for training images of {size}x{size}"
        log.info("compiling the network%s (compile=%s): up to two minutes", images, self.mode, extra=SHOWN_BY_BAR)
        started = time.monotonic()
        can_compile = trainer.strategy.root_device.type != "cpu" or any(map(shutil.which, ("c++", "g++", "clang++")))
        try:
            if not can_compile:
                raise RuntimeError("no C++ compiler found")
            if module.compiled is None:
                if getattr(compiler, "recompile_limit", GRAPHS) < GRAPHS:
                    compiler.recompile_limit = GRAPHS
                module.compiled = torch.compile(module.network.forward, mode=self.mode, dynamic=False)
                module.compiled_batch = self.batch_size // trainer.world_size
            self._try(trainer, module, size, evaluates)
        except Exception as error:  # whatever a compiler may raise
            why = " ".join(str(error).split())[:200] or type(error).__name__
            log.warning("compile=%s does not work here (%s): training runs eagerly, which is slower", self.mode, why)
            module.compiled, self.mode = None, None
            return
        log.info("compiled in %.0f s", time.monotonic() - started)

    def _try(self, trainer: Trainer, module: LitClassifier, size: int, evaluates: bool) -> None:
        """Train and evaluate on black images; parameters, statistics and random states stay as they are."""
        device, precision = trainer.strategy.root_device, trainer.precision_plugin
        (channels, *whole), batch = self.image_shape, module.compiled_batch
        targets = torch.zeros(batch, dtype=torch.int64, device=device)
        images, full = (torch.zeros(batch, channels, *side, dtype=torch.uint8, device=device) for side in ([size] * 2, whole))
        before = [buffer.clone() for buffer in module.buffers()]
        try:
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                module.train()
                with precision.train_step_context():
                    loss = module.loss(module(images), targets)
                # not `backward`: no parameter gets a gradient, and DDP hears nothing of it
                torch.autograd.grad(loss, [parameter for parameter in module.parameters() if parameter.requires_grad])
                module.eval()
                if evaluates:
                    with (
                        precision.val_step_context(),
                        torch.no_grad(),
                    ):  # as Lightning validates; another graph than inference_mode's
                        module(full)
        finally:
            module.train()
            for buffer, value in zip(module.buffers(), before, strict=True):
                buffer.copy_(value)
