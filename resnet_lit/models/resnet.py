"""The network: stem, residual layers, pool, one linear layer.

Sources: He et al. 2015, "Deep Residual Learning for Image Recognition" (arXiv:1512.03385), for the network and its
blocks; "Residual Network Design" (Shandilya et al.) for its knobs, the letters B, C, F, K and P. With B = 2,2,2,2 and
C = 64,128,256,512 it is ResNet-18; with the 7x7 stem it computes what torchvision's does. The 2x2 stem and transitions that
pool are those of airbench94 (https://github.com/KellerJordan/cifar10-airbench).

    model = ResNet([2, 1, 1, 1], [64, 128, 256, 512])     # the paper's model 4: 4,977,226 parameters
    logits = model(images)                                # (N, 3, 32, 32) -> (N, 10)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from resnet_lit.models.architecture import Architecture
from resnet_lit.models.blocks import BasicBlock, Bottleneck, stem, transition
from resnet_lit.models.init import initialise

BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}
POOLS = {"average": (nn.AdaptiveAvgPool2d, nn.AvgPool2d), "max": (nn.AdaptiveMaxPool2d, nn.MaxPool2d)}


class ResNet(nn.Module):
    """(N, in_channels, H, W) float images -> (N, num_classes) logits.

    blocks: B, residual blocks in each layer; channels: C, of each layer; options: the other fields of
    `models.architecture.Architecture`, by name. Where its `pool` is None, images of any size pass; else its `image_size`, pixels
    a side, fixes the size of the linear layer. Raises ValueError where the numbers make no network.
    """

    def __init__(self, blocks: Sequence[int], channels: Sequence[int], **options: Any) -> None:
        super().__init__()
        self.architecture = a = Architecture(blocks, channels, **options)
        self.stem = stem(a)
        self.layers = nn.Sequential()
        width = a.stem_outputs  # channels between two blocks
        for layer in a.residual_layers:
            residual_layer = nn.Sequential()
            if layer.pool > 1:
                residual_layer.add_module("transition", transition(width, layer, a))
                width = layer.outputs
            for i in range(layer.blocks):
                residual_layer.add_module(str(i), BLOCKS[a.block](width, layer, layer.stride if i == 0 else 1, a))
                width = layer.outputs
            self.layers.append(residual_layer)

        over_all_pixels, over_squares = POOLS[a.pooling]
        self.pool = over_all_pixels(1) if a.pool is None else over_squares(a.pool)
        self.fc = nn.Linear(a.features, a.num_classes, bias=a.head_bias)
        initialise(self, a)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)  # (N, stem_outputs, H, W), or a quarter of H and W after the 7x7 stem
        x = self.layers(x)  # (N, C_last * expansion, H / 8, W / 8) after four layers
        x = self.pool(x)  # (N, C_last * expansion, 1, 1), or more pixels where P is less than what is left
        logits: Tensor = self.fc(x.flatten(1))
        scale = self.architecture.logit_scale
        return logits if scale == 1 else logits * scale
