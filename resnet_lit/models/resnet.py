"""The network: stem, residual layers, average pool, one linear layer.

Sources: He et al. 2015, "Deep Residual Learning for Image Recognition" (arXiv:1512.03385), for the network and its
blocks; "Residual Network Design" (Shandilya et al.) for its knobs, the letters B, C, F, K and P. With B = 2,2,2,2 and
C = 64,128,256,512 it is ResNet-18; with the 7x7 stem it computes what torchvision's does.

    model = ResNet([2, 1, 1, 1], [64, 128, 256, 512])     # the paper's model 4: 4,977,226 parameters
    logits = model(images)                                # (N, 3, 32, 32) -> (N, 10)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from resnet_lit.models.blocks import BasicBlock, Bottleneck, conv_bn
from resnet_lit.models.cost import Architecture

BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nn.Module):
    """(N, in_channels, H, W) float images -> (N, num_classes) logits.

    blocks: B, residual blocks in each layer; channels: C, of each layer; kernels: F, one or one per layer;
    skip_kernels: K, the same; strides: of each layer, None for 1, then 2; stem: "3x3" (CIFAR) or "7x7" with max-pool
    (ImageNet); pool: P, None to average over all pixels that are left; block: "basic" or "bottleneck"; dropout:
    probability of Dropout2d after every BatchNorm2d; image_size: pixels a side, which fix the size of the linear layer
    where pool is a number (with None, images of any size pass). Raises ValueError where the numbers make no network.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        channels: Sequence[int],
        *,
        num_classes: int = 10,
        kernels: int | Sequence[int] = 3,
        skip_kernels: int | Sequence[int] = 1,
        strides: Sequence[int] | None = None,
        stem: Literal["3x3", "7x7"] = "3x3",
        pool: int | None = None,
        block: Literal["basic", "bottleneck"] = "basic",
        dropout: float = 0.0,
        in_channels: int = 3,
        image_size: int = 32,
    ) -> None:
        super().__init__()
        self.architecture = Architecture(
            blocks=blocks,
            channels=channels,
            kernels=kernels,
            skip_kernels=skip_kernels,
            strides=strides,
            stem=stem,
            pool=pool,
            block=block,
            dropout=dropout,
            num_classes=num_classes,
            in_channels=in_channels,
            image_size=image_size,
        )
        width = self.architecture.channels[0]  # channels between two blocks
        kernel, stride = (3, 1) if stem == "3x3" else (7, 2)
        self.stem = conv_bn(in_channels, width, kernel, stride, dropout)
        self.stem.add_module("relu", nn.ReLU(inplace=True))
        if stem == "7x7":
            self.stem.add_module("pool", nn.MaxPool2d(3, stride=2, padding=1))

        self.layers = nn.Sequential()
        for layer in self.architecture.residual_layers:
            residual_layer = nn.Sequential()
            for i in range(layer.blocks):
                stride = layer.stride if i == 0 else 1
                numbers = (layer.channels, layer.kernel, layer.skip_kernel, stride, dropout)
                residual_layer.append(BLOCKS[block](width, *numbers))
                width = layer.channels * self.architecture.expansion
            self.layers.append(residual_layer)

        self.pool = nn.AdaptiveAvgPool2d(1) if pool is None else nn.AvgPool2d(pool)
        self.fc = nn.Linear(self.architecture.features, num_classes)

        # He et al. 2015, "Delving Deep into Rectifiers": keeps the variance of the gradients from layer to layer.
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)  # (N, C_1, H, W), or a quarter of H and W after the 7x7 stem
        x = self.layers(x)  # (N, C_last * expansion, H / 8, W / 8) after four layers
        x = self.pool(x)  # (N, C_last * expansion, 1, 1), or more pixels where P is less than what is left
        logits: Tensor = self.fc(x.flatten(1))
        return logits
