"""runs.csv and cells.csv: everything that was measured, for a table program. Accuracies in [0, 1], times in seconds."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from resnet_lit.escaping import printable_data
from resnet_lit.reporting.contents import Report
from resnet_lit.reporting.naming import names
from resnet_lit.reporting.runs import Run
from resnet_lit.typed import show

METRICS = (
    "test/accuracy",
    "test/accuracy_last",
    "test/accuracy_tta/flip",
    "test/accuracy_tta/6",
    "test/loss",
    "test/loss_last",
    "val/accuracy",
    "val/loss",
    "train/accuracy",
    "train/loss",
    "gap",
    "optimism",
    "seconds",
)
PARTS = ("compile", "data_wait", "compute", "logging", "checkpoint", "evaluation")


def write(report: Report, folder: Path) -> list[Path]:
    """Write runs.csv, a row a run, and cells.csv, a row a cell. Returns their paths."""
    keys = list(dict.fromkeys(name for section in report.sections for name in section.factors))
    paths = [folder / "runs.csv", folder / "cells.csv"]
    _write(paths[0], _runs(report, keys))
    _write(paths[1], _cells(report, keys))
    return paths


def _runs(report: Report, keys: Sequence[str]) -> Iterable[Mapping[str, Any]]:
    for section in report.sections:
        for cell in section.cells:
            for run in cell.runs:
                yield {
                    "cell": cell.title,
                    "seed": run.seed,
                    "status": run.status,
                    "reason": run.reason,
                    "variant": run.variant,
                    "protocol": run.protocol,
                    "scale": run.scale,
                    **{key: _word(cell.factors.get(key)) for key in keys if key not in _OWN},
                    **{metric: run.value(metric) for metric in METRICS},
                    "best_epoch": run.best.get("epoch") if run.counts else None,
                    "chosen_on": run.best.get("chosen_on") if run.counts else None,
                    "parameters": run.parameters,
                    "multiply_adds": run.macs,
                    "petaflops": run.record.get("petaflops"),
                    "tta": run.record.get("tta"),
                    **{f"seconds/{part}": run.timing.get(part) for part in PARTS},
                    **_provenance(run),
                }


def _provenance(run: Run) -> Mapping[str, Any]:
    versions = run.record.get("versions") or {}
    return {
        "device": run.device,
        "commit": run.commit,
        "unverified": run.unverified,
        "python": versions.get("python"),
        "torch": versions.get("torch"),
        "data_hash": run.data_hash[:16],
        "identity": run.identity,
        "started": run.record.get("started"),
        "ended": run.record.get("ended"),
        "command": run.record.get("command"),
        "folder": run.folder,
    }


def _cells(report: Report, keys: Sequence[str]) -> Iterable[Mapping[str, Any]]:
    for analysis in report.analyses:
        section = analysis.section
        ranked = {id(one.cell): one for one in analysis.ranking}
        for cell in section.cells:
            one = ranked.get(id(cell))
            row: dict[str, Any] = {
                "cell": cell.title,
                "called": names(section)(cell),
                "place": one.place if one else None,
                "variant": section.variant,
                "protocol": section.protocol,
                "scale": section.scale,
                **{key: _word(cell.factors.get(key)) for key in keys if key not in _OWN},
                "runs": len(cell.runs),
                "finished": len(cell.finished),
                "others": "; ".join(f"seed {run.seed}: {run.status}" for run in cell.others),
                "parameters": cell.parameters,
                "multiply_adds": cell.macs,
            }
            for metric in METRICS:
                found = cell.summary(metric)
                row |= {f"{metric}/{name}": getattr(found, name, None) for name in ("mean", "sd", "n", "low", "high")}
            gap = one.gap if one else None
            row |= {f"behind_best/{name}": getattr(gap, name, None) for name in ("mean", "low", "high", "adjusted", "how")}
            yield row


_OWN = {
    "cell",
    "called",
    "place",
    "seed",
    "status",
    "reason",
    "variant",
    "protocol",
    "scale",
    "runs",
    "parameters",
    "folder",
    "command",
}


def _word(value: Any) -> Any:
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else show(value)


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    rows = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, printable_data(list(rows[0])) if rows else ["cell"])
        writer.writeheader()
        writer.writerows(
            printable_data({key: str(value) if isinstance(value, Path) else value for key, value in row.items()}) for row in rows
        )
