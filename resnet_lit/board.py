"""TensorBoard on the runs of a folder, for the eyes of this machine alone.

python -m resnet_lit.board                            all runs of outputs/
python -m resnet_lit.board outputs/model4 --port=6007

Further options are TensorBoard's own; --bind_all opens it to the network.
"""

from __future__ import annotations

import sys
from pathlib import Path

from resnet_lit.config import OUTPUTS

HOST = "127.0.0.1"


def main() -> None:
    """The command."""
    words = sys.argv[1:]
    if {"-h", "--help"} & {*words}:
        print(__doc__)
        sys.exit(0)
    folders = [word for word in words if not word.startswith("-")] or [OUTPUTS]
    options = [word for word in words if word.startswith("-")]
    if len(folders) > 1:
        sys.exit(_refused(f"{folders[1]}: TensorBoard shows one folder with all that is below it; name the one above both"))
    if not Path(folders[0]).is_dir():
        sys.exit(_refused(f"{folders[0]}: no such folder (runs are below outputs/, or where hydra.run.dir said)"))
    from tensorboard.main import run_main  # a second or two

    local = [] if "--bind_all" in options else [f"--host={HOST}"]
    sys.argv = ["tensorboard", f"--logdir={folders[0]}", *local, *options]
    run_main()


def _refused(line: str) -> int:
    print(line, file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
