"""Initial weights: He et al.'s for convolutions, the identity, and whitened patches for the stem."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_lit.models.architecture import Architecture

WHITENING_IMAGES = 5_000  # of the training set, as airbench94 has it: 4.8 million patches of 2 x 2 pixels
AT_ONCE, VALUES = 250, 25_000_000  # most images, and values of their patches, in memory together: 200 MB in float64


@torch.no_grad()
def initialise(network: nn.Module, a: Architecture) -> None:
    """Give a new network, of the modules `stem`, `layers` and `fc`, its initial weights; BatchNorm keeps 1 and 0.

    kaiming: He et al. 2015, "Delving Deep into Rectifiers" (arXiv:1502.01852): keeps the variance of the gradients from layer
    to layer. dirac: the first of the filters copy the inputs, and the rest keep torch's own initial values; the stem, which has
    nothing to copy, is kaiming. As in airbench94 (https://github.com/KellerJordan/cifar10-airbench).
    """
    for name, module in network.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if a.init == "kaiming" or name.startswith("stem."):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        else:
            nn.init.dirac_(module.weight[: module.in_channels])
    head = network.get_submodule("fc")
    if a.head_std is not None and isinstance(head, nn.Linear):
        head.weight *= a.head_std / head.weight.std()


@torch.no_grad()
def whiten(conv: nn.Conv2d, images: Tensor, eps: float, normalize: Callable[[Tensor], Tensor] = Tensor.float) -> None:
    """Make a convolution's first filters decorrelate the patches of images (N, C, H, W), which the network sees `normalize`d.

    Filters are the eigenvectors of the patches' second moments over sqrt(eigenvalue + eps), the leading ones first, then the
    same negated: 24 for 2 x 2 patches of RGB images, 54 for 3 x 3. Further filters keep the weights that they have; where there
    are fewer filters, the last directions are left out. The bias stays.

    airbench94's whitening layer (https://github.com/KellerJordan/cifar10-airbench, `init_whiten`), there of the first images.
    """
    kernel = conv.kernel_size[0]
    moments = patch_moments(images, kernel, normalize)
    eigenvalues, eigenvectors = torch.linalg.eigh(moments)  # ascending; one eigenvector in each column
    pairs = min(conv.out_channels // 2, len(eigenvalues))
    leading = eigenvectors.T.flip(0)[:pairs]
    largest = leading.gather(1, leading.abs().argmax(1, keepdim=True))
    leading *= largest.sign() / (eigenvalues.flip(0)[:pairs, None] + eps).sqrt()  # a sign of its own on every machine
    conv.weight[: 2 * pairs] = torch.cat((leading, -leading)).view(2 * pairs, images.shape[1], kernel, kernel).to(conv.weight)


def patch_moments(images: Tensor, kernel: int, normalize: Callable[[Tensor], Tensor] = Tensor.float) -> Tensor:
    """Second moments of all kernel x kernel patches that lie within the images: (D, D) float64, D = C * kernel**2.

    They are the covariance where pixels have the mean 0, as normalized ones have. images: (N, C, H, W), of which a few at a
    time are normalized. In float64, so that they do not depend on the number of threads.
    """
    _, channels, height, width = images.shape
    size = channels * kernel**2
    of_an_image = size * (height - kernel + 1) * (width - kernel + 1)
    total, count = torch.zeros(size, size, dtype=torch.float64), 0
    for part in images.split(max(1, min(AT_ONCE, VALUES // of_an_image))):
        patches = F.unfold(normalize(part).double(), kernel).transpose(0, 1).flatten(1)  # (D, patches)
        total += patches @ patches.T
        count += patches.shape[1]
    return total / count
