"""`python -m resnet_lit` lists the commands."""

from __future__ import annotations

import sys

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


def main() -> None:
    """The command. Exit status 2 where words follow: each command is a module of its own."""
    words = sys.argv[1:]
    if words and words[0] not in ("-h", "--help", "help"):
        known = words[0] in {name.split()[0] for name in COMMANDS}
        remedy = f"try {call(f'resnet_lit.{words[0]}', *words[1:])}" if known else f"{call('resnet_lit')} lists the commands"
        print(f"{words[0]}: resnet_lit itself takes no command; {remedy}", file=sys.stderr)
        sys.exit(2)
    print(listing())


if __name__ == "__main__":
    main()
