"""docs/configuration.md, made from the schema: every key with its type, range, default and meaning.

python -m resnet_lit.reference > docs/configuration.md
"""

from __future__ import annotations

import dataclasses

from resnet_lit.config import load
from resnet_lit.identity import changes_result
from resnet_lit.schema import Config
from resnet_lit.typed import describe, fields_of, flatten, show

HEAD = """# Configuration

Every value of `conf/`, made from `resnet_lit/sections.py` by `python -m resnet_lit.reference`. Change one with `key=value` on the
command line, or choose a whole group with `group=name`. The default is that of `python -m resnet_lit.train` without an
experiment. A key marked * does not change what a run computes: it is not part of the run's identity.
"""


def reference() -> str:
    """The page, as Markdown."""
    values = flatten(load())
    parts = [HEAD]
    top: list[str] = []
    groups: list[str] = []
    for key, (field, kind) in fields_of(Config).items():
        if dataclasses.is_dataclass(kind):
            doc = (kind.__doc__ or "").strip()
            groups.append(f"\n## {key}\n\n{doc}\n\n{_table(_rows(kind, f'{key}.', values))}")  # type: ignore[arg-type]
        else:
            top.append(_row(key, field, kind, values))
    parts.append(f"\n## The run\n\n{_table(top)}")
    return "\n".join([*parts, *groups]) + "\n"


def _rows(schema: type, prefix: str, values: dict[str, object]) -> list[str]:
    return [_row(f"{prefix}{key}", field, kind, values) for key, (field, kind) in fields_of(schema).items()]


def _row(key: str, field: dataclasses.Field, kind: object, values: dict[str, object]) -> str:
    limits = field.metadata
    words = [f"{word} {show(limits[name])}" for name, word in _BOUNDS.items() if limits[name] is not None]
    marked = f"`{key}`" if changes_result(key) else f"`{key}` *"
    default = show(values[key]) if key in values else ""
    return (
        f"| {marked} | {describe(kind)}{', ' if words else ''}{', '.join(words)} | `{default}` | {limits['meaning']} |".replace(
            "``", ""
        )
    )


_BOUNDS = {"least": "at least", "above": "above", "most": "at most", "below": "below"}


def _table(rows: list[str]) -> str:
    return "\n".join(["| key | value | default | meaning |", "| --- | --- | --- | --- |", *rows])


if __name__ == "__main__":
    print(reference(), end="")
