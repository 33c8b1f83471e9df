"""`python -m resnet_lit` lists the commands; `python -m resnet_lit next` those that follow `make demo`."""

from __future__ import annotations

import sys
from pathlib import Path

from resnet_lit.interpreter import activation, call

COMMANDS = {
    "train": "train a network, with -m many",
    "plan": "what a run will cost here",
    "summary": "the layers of a network",
    "evaluate": "accuracy, also on new images",
    "predict": "class and probability of images",
    "sweep status": "how far all runs are",
    "report outputs": "tables and charts of the runs",
    "board": "TensorBoard on all runs",
}


def listing() -> str:
    """A line for each command, as it is called in this shell."""
    calls = {call(*f"resnet_lit.{name}".split()): meaning for name, meaning in COMMANDS.items()}
    width = max(map(len, calls))
    lines = ["Commands; each explains itself with --help", "", *(f"{line:{width}}  {text}" for line, text in calls.items())]
    if (activate := activation()) is not None:
        lines += ["", f"After `{activate}`, `python` is enough."]
    return "\n".join(lines)


def following(outputs: Path = Path("outputs")) -> str:
    """What to do after `make demo`: a line saying what, then the command as it works in this shell."""
    runs = sorted(outputs.glob("digits/*/result.json"), key=lambda path: path.stat().st_mtime)
    steps: list[tuple[str, ...]] = [("rerun the demo: its result at once", "resnet_lit.train", "+experiment=digits")]
    if runs:
        steps.append(("accuracy with its interval, each class", "resnet_lit.evaluate", f"run={runs[-1].parent}"))
    steps += [
        ("the report: outputs/report/report.html", "resnet_lit.report", "outputs"),
        ("the curves in TensorBoard; Ctrl-C ends it", "resnet_lit.board"),
        ("how long the main job would take here", "resnet_lit.plan", "+experiment=model4"),
        ("the main job: Model 4 on CIFAR-10, 200 epochs", "resnet_lit.train", "+experiment=model4"),
        ("all commands", "resnet_lit"),
    ]
    lines = [line for meaning, module, *words in steps for line in (f"  # {meaning}", f"  {call(module, *words)}")]
    if (activate := activation()) is not None:
        lines += ["", f"After `{activate}`, `python` is enough."]
    return "\n".join(["", "Next:", *lines])


def main() -> None:
    """The command. Exit status 2 where other words follow: each command is a module of its own."""
    words = sys.argv[1:]
    if words == ["next"]:
        print(following())
        return
    if words and words[0] not in ("-h", "--help", "help"):
        known = words[0] in {name.split()[0] for name in COMMANDS}
        remedy = f"try {call(f'resnet_lit.{words[0]}', *words[1:])}" if known else f"{call('resnet_lit')} lists the commands"
        print(f"{words[0]}: resnet_lit itself takes no command; {remedy}", file=sys.stderr)
        sys.exit(2)
    print(listing())


if __name__ == "__main__":
    main()
