"""The paper's tables by name, its numbers beside ours: figures 5 to 12, the regularisation table, the parameter table.

They stand in every report; `not measured` where no run repeats a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resnet_lit import formatting, paper
from resnet_lit.models.cost import count_multiply_adds, count_parameters, layers
from resnet_lit.reporting.contents import Claim, Table
from resnet_lit.reporting.matching import NETWORKS
from resnet_lit.typed import show

HEAD = (
    "row",
    "quantity",
    "the paper",
    "our cell",
    "regularisation",
    "ours: mean ± s.d. (n)",
    "95% interval of the mean",
    "difference",
    "95% interval of the difference",
    "protocol",
    "data",
    "verdict",
    "why",
)


def paper_tables(claims: Sequence[Claim]) -> tuple[Table, ...]:
    """Every table of the paper, in its order."""
    found: list[Table] = [parameter_table()]
    for model in paper.MODELS:
        found.append(layer_table(model))
        found.append(six_rows(model, claims))
    return (*found, regularization_table(claims))


def layer_table(model: paper.Model) -> Table:
    """The layers of a network as figures 5, 7, 9 and 11 list them, counted from the network that has the paper's parameters."""
    network = NETWORKS[model.name]
    rows = [
        (row.name, row.kind, " x ".join(map(str, row.output_shape)), f"{row.parameters:,}", f"{row.multiply_adds:,}")
        for row in layers(network)
    ]
    rows.append(("total", "", "", f"{count_parameters(network):,}", f"{count_multiply_adds(network):,}"))
    return Table(
        model.summary,
        f"Layers of {model.name}: {model.title}",
        ("layer", "kind", "output (C, H, W)", "parameters", "multiply-adds"),
        tuple(rows),
        "Multiply-adds of convolutions and the linear layer, for one image of 3 x 32 x 32.",
    )


def six_rows(model: paper.Model, claims: Iterable[Claim]) -> Table:
    """A table of six rows: figure 6, 8, 10 or 12."""
    mine = [claim for claim in claims if claim.place == model.table]
    return Table(
        model.table,
        f"Results of {model.name}: {model.title}",
        HEAD,
        tuple(map(_row, mine)),
        "The paper does not say whether its rows were trained with dropout: each stands beside both of our cells. All are of "
        "epoch 200.",
    )


def regularization_table(claims: Iterable[Claim]) -> Table:
    """The four kinds of regularisation on model 4: figures 1 to 4."""
    places = ("figure 1", "figure 2", "figure 3", "figure 4")
    mine = [claim for claim in claims if claim.place in places]
    return Table(
        "regularisation",
        "Regularisation of model4 (section 3.1.5, figures 1 to 4)",
        HEAD,
        tuple(map(_row, mine)),
        "The headline is of the paper's best test epoch, 197; of the other three it says nothing. Ours are of the chosen epoch.",
    )


def parameter_table() -> Table:
    """Trainable parameters: what the paper prints, what its text gives, and what is counted here."""
    rows = []
    for model in paper.MODELS:
        counted = count_parameters(NETWORKS[model.name])
        same = "confirmed" if counted == model.parameters else "contradicted"
        network = NETWORKS[model.name]
        shape = f"B = {show(network.blocks)}, C = {show(network.channels)}, F = 3, K = 1"
        rows.append((model.name, model.title, f"{model.parameters:,}", f"{counted:,}", shape, same))
    return Table(
        "parameters",
        "Trainable parameters of the four models",
        ("model", "title", "the paper", "counted", "with", "verdict"),
        tuple(rows),
        "Counted from the network itself. That the paper's text describes other networks is part of the audit.",
    )


def _row(claim: Claim) -> tuple[str, ...]:
    metric, ours = claim.metric, claim.ours
    digits = 3 if "accuracy" in claim.quantity and claim.quantity.startswith("train") else 2
    printed = f"{100 * claim.printed:.{digits}f}" if formatting.is_share(metric) else f"{claim.printed:.3f}"
    return (
        claim.row,
        claim.quantity + (" (%)" if formatting.is_share(metric) else ""),
        printed,
        claim.cell,
        claim.regularization,
        formatting.summary(metric, ours),
        formatting.interval(metric, ours.low, ours.high) if ours else "",
        formatting.number(metric, claim.difference, sign=True),
        formatting.interval(metric, claim.low, claim.high, sign=True),
        claim.section.protocol if claim.section and ours else "",
        claim.section.variant if claim.section and ours else "",
        claim.verdict,
        claim.why,
    )
