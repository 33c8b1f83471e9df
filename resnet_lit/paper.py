"""The paper as data: every number that it prints, and the cells of `+sweep=paper` that repeat them. Plain Python, no torch.

"Residual Network Design" (Shandilya, Madhusudhan, Makwana) trains four networks of at most 5,000,000 parameters. What it leaves
open is filled by one choice each, the same in all cells; docs/paper.md gives them with their reasons. Results that are the same
run under these choices have one cell: it is trained once and stands beside each of them.

    RESULTS[0].cells                          # the cells that repeat the first printed result
    cell("model4_sgd_momentum").words         # that cell, as typed without `+cell=`
    results_of("model4_sgd_momentum")         # all that the paper prints of it
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

WEIGHT_DECAY = 5e-4  # section 2.1.2
DROPOUT = 0.25  # section 2.1.2: Dropout2d after every BatchNorm2d
EPOCHS = 200  # section 3.1 and every row of figures 6, 8, 10 and 12
BATCH_SIZE = 128  # captions of figures 6 and 12
OPTIMIZER = "sgd_momentum"  # the text credits the best batch size of every model to "SGD + Momentum"

Regularization = Literal["L2", "dropout + L2", "dropout", "none"]
BOTH: tuple[Regularization, ...] = ("L2", "dropout + L2")  # the tables do not say which


@dataclass(frozen=True)
class Model:
    """What the paper says of one of its networks, in its own numbers, which contradict each other in places (docs/paper.md)."""

    name: str  # as in model=NAME and +experiment=NAME
    title: str  # heading of its section
    parameters: int  # trainable
    blocks: tuple[int, ...]  # B
    channels: tuple[int, ...]  # C
    summary: str  # the figure of its layers
    table: str  # the figure of its six rows
    credited: str  # what its text credits the best accuracy to
    kernels: int = 3  # F, of every layer
    skip_kernels: int = 3  # K, of every layer
    pool: int = 4  # P


MODELS = (
    Model(
        "model1",
        "ResNet-18 but with only 3 Layers",
        2_777_674,
        (2, 2, 2, 2),
        (64, 128, 256),
        "figure 5",
        "figure 6",
        "SGD + Momentum with batch size = 256: 93.060 %",
    ),
    Model(
        "model2",
        "ResNet-18 with C_1 = 32",
        2_797_610,
        (2, 2, 2, 2),
        (32, 64, 128, 256),
        "figure 7",
        "figure 8",
        "SGD + Momentum with batch size = 32: 92.370 %",
    ),
    Model(
        "model3",
        "ResNet-18 with C_1 = 32 and 3 blocks per layer",
        4_366_250,
        (3, 3, 3, 3),
        (32, 64, 128, 256),
        "figure 9",
        "figure 10",
        "SGD + Momentum with batch size = 32: 92.800 %",
    ),
    Model(
        "model4",
        "ResNet-18 with only 1 block for last 3 layer",
        4_977_226,
        (2, 1, 1, 1),
        (32, 64, 128, 256),
        "figure 11",
        "figure 12",
        "SGD + Momentum with batch size = 128: 94.980 %",
    ),
)


@dataclass(frozen=True)
class Cell:
    """One run of `+sweep=paper`, wholly stated: `+cell=NAME`."""

    model: str
    optimizer: str = OPTIMIZER
    batch_size: int = BATCH_SIZE
    regularization: Regularization = "L2"

    @property
    def name(self) -> str:
        """`model4_adam`, `model1_batch_32_dropout`, `model4_no_regularization`: what differs from the recipe of its row."""
        row = f"batch_{self.batch_size}" if self.batch_size != BATCH_SIZE else self.optimizer
        kind = {"L2": row, "dropout + L2": f"{row}_dropout", "dropout": "dropout_only", "none": "no_regularization"}
        return f"{self.model}_{kind[self.regularization]}"

    @property
    def dropout(self) -> float:
        """Probability of Dropout2d."""
        return DROPOUT if "dropout" in self.regularization else 0.0

    @property
    def weight_decay(self) -> float:
        """L2 penalty."""
        return WEIGHT_DECAY if "L2" in self.regularization else 0.0

    @property
    def words(self) -> tuple[str, ...]:
        """The same run as typed without `+cell=`."""
        return (
            f"+experiment={self.model}",
            f"optimizer={self.optimizer}",
            f"data.batch_size={self.batch_size}",
            f"model.dropout={self.dropout}",
            f"optimizer.weight_decay={self.weight_decay}",
            "protocol=paper",
        )

    @property
    def config(self) -> dict[str, Any]:
        """The same run as a config of Hydra's group `cell`, in the package `_global_`."""
        return {
            "defaults": [{"/experiment": self.model}, {"override /optimizer": self.optimizer}, "_self_"],
            "protocol": "paper",
            "data": {"batch_size": self.batch_size},
            "model": {"dropout": self.dropout},
            "optimizer": {"weight_decay": self.weight_decay},
        }


# The rows of figures 6, 8, 10 and 12: (name, what of the recipe it changes).
ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("batch 32", {"batch_size": 32}),
    ("batch 64", {"batch_size": 64}),
    ("batch 128", {}),
    ("SGD", {"optimizer": "sgd"}),
    ("SGD + momentum", {}),
    ("Adam", {"optimizer": "adam"}),
)


def _cells() -> tuple[Cell, ...]:
    """Every cell once, the most valuable first."""
    best, others = "model4", ("model1", "model2", "model3")
    changed = [change for _, change in ROWS if change]
    return (
        Cell(best),  # the headline: the stated recipe, L2 only
        *(Cell(best, regularization=kind) for kind in ("dropout + L2", "none", "dropout")),  # its regularisation table
        *(Cell(best, **change) for change in changed),  # its rows
        *(Cell(model, regularization=kind) for model in others for kind in BOTH),  # is the ranking of the models one of dropout?
        *(Cell(model, **change, regularization=kind) for model in others for change in changed for kind in BOTH),
        *(Cell(best, **change, regularization="dropout + L2") for change in changed),
    )


CELLS = _cells()
_BY_NAME = {cell.name: cell for cell in CELLS}


def cell(name: str) -> Cell:
    """The cell of `+cell=NAME`."""
    return _BY_NAME[name]


@dataclass(frozen=True)
class Result:
    """One result that the paper prints. Accuracies in [0, 1]; losses are mean cross-entropies."""

    place: str  # "figure 6"
    model: str
    row: str  # "batch 32", "SGD + momentum", "dropout + L2"
    test_accuracy: float
    test_loss: float
    train_accuracy: float | None  # None: not printed
    train_loss: float | None
    epoch: int | None  # at which it was read; None: not stated
    cells: tuple[str, ...]  # names of the cells that repeat it: several where the paper does not say whether with dropout


# model: a row of (test accuracy in %, test loss, train accuracy in %, train loss) for each of ROWS, at epoch 200, as printed.
_TABLES = {
    "model1": (
        (92.07, 0.239, 92.148, 0.234),
        (88.58, 0.344, 85.652, 0.420),
        (90.40, 0.283, 89.056, 0.323),
        (91.73, 0.251, 91.284, 0.255),
        (93.06, 0.224, 92.698, 0.209),
        (90.01, 0.314, 88.334, 0.335),
    ),
    "model2": (
        (92.37, 0.242, 91.966, 0.237),
        (88.77, 0.340, 85.446, 0.429),
        (90.82, 0.276, 88.796, 0.325),
        (91.50, 0.249, 90.786, 0.270),
        (91.99, 0.252, 91.796, 0.239),
        (88.53, 0.348, 86.224, 0.394),
    ),
    "model3": (
        (92.80, 0.222, 93.678, 0.184),
        (88.72, 0.334, 85.736, 0.416),
        (90.72, 0.277, 89.610, 0.302),
        (92.25, 0.232, 92.358, 0.222),
        (92.54, 0.239, 93.622, 0.186),
        (89.52, 0.323, 88.216, 0.339),
    ),
    "model4": (
        (94.54, 0.190, 100.000, 0.003),
        (93.97, 0.220, 99.842, 0.011),
        (94.98, 0.185, 99.978, 0.005),
        (94.76, 0.181, 99.994, 0.003),
        (93.64, 0.229, 100.000, 0.002),
        (92.01, 0.503, 99.994, 0.000),
    ),
}

# Section 3.1.5, on model 4: (place, regularisation, test accuracy in %, test loss, epoch).
_REGULARIZATION: tuple[tuple[str, Regularization, float, float, int | None], ...] = (
    ("figure 1", "dropout + L2", 93.15, 0.229, None),
    ("figure 2", "none", 92.95, 0.478, None),
    ("figure 3", "dropout", 93.02, 0.264, None),
    ("figure 4", "L2", 95.14, 0.181, 197),  # the headline; the epoch from the conclusion
)


def _results() -> tuple[Result, ...]:
    found = []
    for model in MODELS:
        for (row, change), (test, test_loss, train, train_loss) in zip(ROWS, _TABLES[model.name], strict=True):
            names = tuple(Cell(model.name, **change, regularization=kind).name for kind in BOTH)
            numbers = (_share(test), test_loss, _share(train), train_loss)
            found.append(Result(model.table, model.name, row, *numbers, epoch=EPOCHS, cells=names))
    for place, kind, accuracy, loss, epoch in _REGULARIZATION:
        name = Cell("model4", regularization=kind).name
        found.append(Result(place, "model4", kind, _share(accuracy), loss, None, None, epoch, (name,)))
    return tuple(found)


def _share(percent: float) -> float:
    return round(percent / 100, 5)  # the paper counts 50,000 images at most


RESULTS = _results()
HEADLINE = RESULTS[-1]


def results_of(name: str) -> tuple[Result, ...]:
    """What the paper prints of the cell `+cell=NAME`: one place or several."""
    return tuple(result for result in RESULTS if name in result.cells)
