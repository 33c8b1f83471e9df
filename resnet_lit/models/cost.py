"""Shapes, parameters and multiply-adds of a residual network, counted from its numbers alone.

Pure Python: a config is checked against its parameter budget, and a thousand networks are compared, without importing
torch. `resnet_lit.models.resnet` builds the same network from the same `Architecture`; the tests hold the two together.

A *layer* of the user's config is one residual layer (a stage); a `Layer` here is one row of the summary, one module.
"""

from __future__ import annotations

from dataclasses import dataclass

from resnet_lit.models.architecture import STEMS, Architecture, ResidualLayer, strided

Shape = tuple[int, ...]  # of one image's activations: (C, H, W), or (features,)


@dataclass(frozen=True)
class Layer:
    """One module of the network: one row of its summary."""

    name: str  # dotted, as in `ResNet.named_modules()`
    kind: str  # class in torch.nn
    output_shape: Shape
    parameters: int = 0  # trained or not
    multiply_adds: int = 0  # for one image; of convolutions and linear layers, as is customary
    frozen: int = 0  # those of the parameters that are never trained


def layers(architecture: Architecture) -> list[Layer]:
    """Every module that counts or changes the shape, in the order of `ResNet.named_modules()`; no activations."""
    a = architecture
    rows = _stem(a)
    shape = rows[-1].output_shape
    for i, layer in enumerate(a.residual_layers):
        if layer.pool > 1:
            rows += _transition(f"layers.{i}.transition.", shape, layer, a)
            shape = rows[-1].output_shape
        for j in range(layer.blocks):
            block, shape = _block(f"layers.{i}.{j}.", shape, layer, layer.stride if j == 0 else 1, a)
            rows += block

    channels, height, width = shape
    kind = "AvgPool2d" if a.pooling == "average" else "MaxPool2d"
    if a.pool is None:
        rows.append(Layer("pool", f"Adaptive{kind}", (channels, 1, 1)))
    else:
        rows.append(Layer("pool", kind, (channels, height // a.pool, width // a.pool)))
    rows.append(_linear("fc", a.features, a.num_classes, bias=a.head_bias))
    return rows


def _stem(a: Architecture) -> list[Layer]:
    stem, channels = STEMS[a.stem], a.stem_outputs
    sizes = [(channels, pixels, pixels) for pixels in stem.pixels(a.image_size)]
    weights = channels * a.in_channels * stem.kernel**2
    parameters = weights if a.stem_norm else weights + channels  # a bias where no BatchNorm follows
    multiply_adds = weights * sizes[0][1] * sizes[0][2]
    rows = [Layer("stem.conv", "Conv2d", sizes[0], parameters, multiply_adds, weights if a.stem_frozen else 0)]
    if a.stem_norm:
        rows += _norm("stem.", sizes[0], a)
    if stem.pool:
        rows.append(Layer("stem.pool", "MaxPool2d", sizes[1]))
    return rows


def _transition(prefix: str, shape: Shape, layer: ResidualLayer, a: Architecture) -> list[Layer]:
    """Convolution, max-pool, BatchNorm: how a layer begins where the transition pools."""
    convolution = _conv(f"{prefix}conv", shape, layer.outputs, layer.kernel)
    channels, height, width = convolution.output_shape
    pool = Layer(f"{prefix}pool", "MaxPool2d", (channels, height // layer.pool, width // layer.pool))
    return [convolution, pool, *_norm(prefix, pool.output_shape, a)]


def _block(prefix: str, shape: Shape, layer: ResidualLayer, stride: int, a: Architecture) -> tuple[list[Layer], Shape]:
    """One residual block on an input of `shape`, its skip last where that is no identity; and the shape of its output."""
    inner, outer = layer.channels, layer.outputs
    if a.block == "basic":
        convolutions = [(inner, layer.kernel, stride), (outer, layer.kernel, 1)]
    else:
        convolutions = [(inner, 1, 1), (inner, layer.kernel, stride), (outer, 1, 1)]
    rows: list[Layer] = []
    output = shape
    for n, (channels, kernel, step) in enumerate(convolutions, 1):
        rows.append(_conv(f"{prefix}conv{n}", output, channels, kernel, step))
        output = rows[-1].output_shape
        rows += _norm(prefix, output, a, str(n))
    if a.squeeze_excitation is not None:
        squeezed = outer // a.squeeze_excitation
        rows += [_linear(f"{prefix}se.fc1", outer, squeezed), _linear(f"{prefix}se.fc2", squeezed, outer)]
    if stride != 1 or shape[0] != outer:
        rows += [_conv(f"{prefix}skip.conv", shape, outer, layer.skip_kernel, stride), *_norm(f"{prefix}skip.", output, a)]
    return rows, output


def _conv(name: str, shape: Shape, channels: int, kernel: int, stride: int = 1) -> Layer:
    """A convolution without bias that keeps the size but for its stride."""
    in_channels, height, width = shape
    output = (channels, strided(height, stride), strided(width, stride))
    weights = channels * in_channels * kernel**2
    return Layer(name, "Conv2d", output, weights, weights * output[1] * output[2])


def _norm(prefix: str, shape: Shape, a: Architecture, number: str = "") -> list[Layer]:
    """BatchNorm, and Dropout2d if there is any."""
    channels = shape[0]
    rows = [Layer(f"{prefix}bn{number}", "BatchNorm2d", shape, 2 * channels, frozen=0 if a.norm_scale else channels)]
    if a.dropout > 0:
        rows.append(Layer(f"{prefix}dropout{number}", "Dropout2d", shape))
    return rows


def _linear(name: str, features: int, outputs: int, *, bias: bool = True) -> Layer:
    weights = features * outputs
    return Layer(name, "Linear", (outputs,), weights + outputs if bias else weights, weights)


def count_parameters(architecture: Architecture) -> int:
    """Parameters, trained or not."""
    return sum(layer.parameters for layer in layers(architecture))


def count_frozen(architecture: Architecture) -> int:
    """Those of the parameters that are never trained: BatchNorm's scales, the stem's weight."""
    return sum(layer.frozen for layer in layers(architecture))


def count_multiply_adds(architecture: Architecture) -> int:
    """Multiply-adds of one image's forward pass, in convolutions and linear layers.

    As fvcore counts their flops; torch's FlopCounterMode counts two for each. Of images of another size: those of
    `architecture.at(image_size)`.
    """
    return sum(layer.multiply_adds for layer in layers(architecture))


def table(architecture: Architecture) -> str:
    """The network module by module with its totals, like the paper's figures 5, 7, 9 and 11."""
    rows = layers(architecture)
    width = max(len("layer"), *(len(row.name) for row in rows)) + 2
    kind_width = max(len(row.kind) for row in rows) + 2

    def line(name: str, kind: str, shape: str, parameters: str, multiply_adds: str) -> str:
        return f"{name:<{width}}{kind:<{kind_width}}{shape:<18}{parameters:>12}{multiply_adds:>16}"

    head = line("layer", "kind", "output (C, H, W)", "parameters", "multiply-adds")
    rule = "-" * len(head)
    lines = [head]
    group = None
    for row in rows:
        parts = row.name.split(".")
        this = ".".join(parts[:2]) if parts[0] == "layers" else parts[0] if parts[0] == "stem" else "head"
        if this != group:  # a rule between stem, each residual layer and head
            lines.append(rule)
            group = this
        lines.append(
            line(
                row.name,
                row.kind,
                " x ".join(map(str, row.output_shape)),
                f"{row.parameters:,}",
                f"{row.multiply_adds:,}",
            )
        )
    lines += [
        rule,
        line("total", "", "", f"{count_parameters(architecture):,}", f"{count_multiply_adds(architecture):,}"),
    ]
    size = f"{architecture.in_channels} x {architecture.image_size} x {architecture.image_size}"
    if frozen := count_frozen(architecture):
        lines.append(f"parameters: {count_parameters(architecture) - frozen:,} trained, {frozen:,} fixed at their initial values")
    lines.append(f"multiply-adds: of convolutions and linear layers, forward, for one image of {size}")
    return "\n".join(lines)
