"""Every augmentation on whole batches, against its torchvision transform image by image, one thread each.

python -m benchmarks.bench_augment
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from PIL import Image
from torchvision.transforms import v2

from benchmarks.sides import cifar10, save, table
from resnet_lit.data.augment import Augment

ROUNDS, BATCH, IMAGES = 7, 128, 1_024

PAIRS: dict[str, tuple[Augment, list[v2.Transform]]] = {
    "crop": (Augment(crop_padding=4), [v2.RandomCrop(32, padding=4)]),
    "crop from reflection": (
        Augment(crop_padding=4, padding_mode="reflect"),
        [v2.RandomCrop(32, padding=4, padding_mode="reflect")],
    ),
    "flip": (Augment(flip=0.5), [v2.RandomHorizontalFlip()]),
    "rotation": (Augment(rotation=15.0), [v2.RandomRotation(15)]),
    "blur": (Augment(blur=0.5), [v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], 0.5)]),
    "all": (
        Augment(4, 0.5, 15.0, 0.5),
        [
            v2.RandomCrop(32, padding=4),
            v2.RandomHorizontalFlip(),
            v2.RandomRotation(15),
            v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], 0.5),
        ],
    ),
}


def rate(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return IMAGES / (time.perf_counter() - started)


def main() -> None:
    torch.set_num_threads(1)
    images = torch.from_numpy(cifar10()[0][:IMAGES])
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    generator = torch.Generator().manual_seed(0)
    results = {}
    for name, (augment, transforms) in PAIRS.items():
        pil, tensors = v2.Compose([*transforms, v2.PILToTensor()]), v2.Compose(transforms)

        def ours(augment: Augment = augment) -> None:
            for batch in images.split(BATCH):
                augment(batch, augment.draw(len(batch), 32, 32, generator))

        def theirs(pil: v2.Compose = pil) -> None:
            torch.stack([pil(picture) for picture in pictures])

        def theirs_on_tensors(tensors: v2.Compose = tensors) -> None:
            torch.stack([tensors(image) for image in images])

        sides = {"torchvision, PIL": theirs, "torchvision, tensors": theirs_on_tensors, "resnet_lit": ours}
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(ROUNDS + 1):
            for side, work in sides.items():
                found = rate(work)
                if number:  # the first round warms up
                    rates[side].append(found)
        results[name] = table(f"{name}, one thread", rates, against="torchvision, PIL")
    save("augment", results)


if __name__ == "__main__":
    main()
