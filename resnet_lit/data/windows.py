"""Random crop and flip as one gather: images kept with their margins, and mirrored, and windows cut out of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

CHUNK = 512  # images copied at a time: what is copied is still in the cache when it is mirrored


class Windows:
    """Images with `margin` black pixels all around and, where asked for, mirrored beside themselves.

    images: (N, C, H, W), any dtype, on any device; indices: (n,) int64 there, which of them (None: all). What is kept is
    (n, 1 or 2, C, H + 2 margin, W + 2 margin).
    Random crop after zero padding: He et al. 2015 (arXiv:1512.03385), section 4.2.
    """

    def __init__(self, images: Tensor, margin: int = 0, *, mirrored: bool = False, indices: Tensor | None = None) -> None:
        n, channels, height, width = self.shape = (len(images if indices is None else indices), *images.shape[1:])
        self.margin, self.copies = margin, 1 + mirrored
        self._row = width + 2 * margin
        self._plane = self._row * (height + 2 * margin)
        shape = (n, self.copies, channels, height + 2 * margin, self._row)
        on_cpu = images.device.type == "cpu"  # where NumPy asks for huge pages, and torch maps 4 kB at a time
        kept = torch.from_numpy(np.zeros(shape, images.numpy().dtype)) if on_cpu else images.new_zeros(shape)
        inner = kept[..., margin : margin + height, margin : margin + width]
        for start in range(0, n, CHUNK):
            some = slice(start, start + CHUNK)
            chunk = images[some] if indices is None else images.index_select(0, indices[some])
            inner[some, 0] = chunk
            if mirrored:
                inner[some, 1] = chunk.flip(3)
        # A window is C * H pieces of W pixels that lie in a row; picking pieces by where they begin is several times faster
        # than picking pixels.
        self._pieces = kept.view(-1).unfold(0, width, 1) if n else kept.view(0, width)
        down = torch.arange(channels)[:, None] * self._plane + torch.arange(height) * self._row
        self._down = down.flatten().to(images.device)

    @staticmethod
    def bytes_needed(images: Tensor, n: int, margin: int, *, mirrored: bool) -> int:
        """Memory that the windows of n of the `images` would take."""
        _, channels, height, width = images.shape
        return n * (1 + mirrored) * channels * (height + 2 * margin) * (width + 2 * margin) * images.element_size()

    def cut(self, indices: Tensor, offsets: Tensor | None = None, flip: Tensor | None = None) -> Tensor:
        """A window of each image at `indices` (n,) int64, anywhere -> (n, C, H, W) on the images' device.

        offsets: (n, 2) int64 on the CPU, top-left corner (y, x) counted with the margin, 0 … 2 margin; None: the image itself.
        flip: (n,) bool on the CPU, which windows to mirror after they are cut; None: none.
        """
        _, channels, height, width = self.shape
        if len(indices) == 0:
            return self._pieces.new_empty(0, channels, height, width)
        if offsets is None:
            offsets = torch.full((len(indices), 2), self.margin)
        y, x = offsets[:, 0], offsets[:, 1]
        if flip is not None:  # the mirror of a window lies at the mirrored place of the mirrored image
            x = torch.where(flip, 2 * self.margin - x + channels * self._plane, x)
        device = self._pieces.device
        starts = indices.to(device) * (self.copies * channels * self._plane) + (y * self._row + x).to(device, non_blocking=True)
        begins = starts[:, None] + self._down
        return self._pieces.index_select(0, begins.flatten()).view(-1, channels, height, width)
