"""From run folders to everything that a report says."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

from resnet_lit.record import now
from resnet_lit.reporting.analysis import analyse
from resnet_lit.reporting.audit import audit
from resnet_lit.reporting.cells import sections
from resnet_lit.reporting.claims import claims
from resnet_lit.reporting.comparing import compare
from resnet_lit.reporting.contents import Report
from resnet_lit.reporting.matching import repeated
from resnet_lit.reporting.orders import orders
from resnet_lit.reporting.remarks import remarks
from resnet_lit.reporting.runs import read_runs
from resnet_lit.reporting.tables import paper_tables


def build(paths: Sequence[str | Path], *, command: str = "", compared: tuple[str, str] | None = None) -> Report:
    """Read the runs in and below `paths` and compute everything. compared: two runs or cells to lay side by side.

    Raises Refused where `compared` names what is not there.
    """
    gc.disable()  # many records and no garbage among them: looking for it takes as long as reading a tenth of them
    try:
        runs, problems = read_runs(paths)
    finally:
        gc.enable()
        gc.freeze()
    found = sections(runs)
    cells = repeated(found)
    numbers, ordered = claims(cells), orders(found)
    return Report(
        sections=found,
        analyses=tuple(analyse(section) for section in found),
        problems=tuple(problems),
        remarks=tuple(remarks(runs)),
        claims=numbers,
        orders=ordered,
        audit=audit(found, cells, ordered),
        tables=paper_tables(numbers),
        paper_cells=cells,
        command=command,
        made=now(),
        source=" ".join(map(str, paths)),
        comparison=compare(found, *compared) if compared is not None else None,
    )
