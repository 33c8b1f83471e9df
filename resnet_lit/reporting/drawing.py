"""Draws figure files: a program of its own, because the library that draws ends the whole process where it fails.

Reads a JSON object a line, {"spec": …, "path": "….svg", "scale": 2}, and writes the SVG and the PNG beside it. It answers each
with one line, `drawn` or `failed: <reason>`. `figures.write` starts it again after a figure that ended it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Draw what comes on stdin until it is closed."""
    import vl_convert

    for line in sys.stdin:
        try:
            order = json.loads(line)
            path = Path(order["path"])
            picture = vl_convert.vegalite_to_svg(order["spec"])
            path.write_text(picture, encoding="utf-8")
            path.with_suffix(".png").write_bytes(vl_convert.svg_to_png(picture, scale=order["scale"]))
            answer = "drawn"
        except Exception as error:  # of the library, for whatever it does not like
            answer = f"failed: {' '.join(str(error).split())[:200]}"
        print(answer, flush=True)


if __name__ == "__main__":
    main()
