"""Reference of the commands, made from their parsers:
`python -m tools.commands_reference > docs/reference/commands.md`."""

import argparse

from segtrain.__main__ import COMMANDS, build_parser

INTRODUCTION = """# Commands and exit codes

`python -m segtrain COMMAND`, or `segtrain COMMAND` where the package is [installed](../how-to/install.md). `train.py` and
`predict.py` are `train` and `predict`.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | `check`: the data has errors. `predict`: some images could not be predicted. `batch`: some runs failed. `export`: the exported \
file does not give the same predictions. `train --overfit`: the images were not learned. Any command: the disk is full, a file \
cannot be read, or segtrain has a bug and shows a traceback |
| 2 | something to correct: the configuration, the command line, the data, or a checkpoint. Each problem is one line on stderr |
| 130, 143 | stopped by Ctrl-C or SIGTERM. The state is saved, and `--resume` continues |

`python -m tools.commands_reference > docs/reference/commands.md` makes this page, and a test compares it with the code.
"""


def build_reference() -> str:
    """Markdown: a section with a table of its arguments for each command."""
    return "\n".join([INTRODUCTION, *(_section(name) for name in COMMANDS)])


def _section(name: str) -> str:
    parser = build_parser(name)
    text = (parser.description or "").strip()
    rows = [
        f"| {_spell(action)} | {(action.help or '').replace('%%', '%').replace('|', chr(92) + '|')} |"
        for action in parser._actions
        if action.help is not argparse.SUPPRESS and action.dest != "help"
    ]
    table = "\n".join(["", "| argument | meaning |", "|---|---|", *rows, ""]) if rows else ""
    return f"## {name}\n\n```text\n{text}\n```\n{table}"


def _spell(action: argparse.Action) -> str:
    """`--flag VALUE` as the help has it."""
    value = action.metavar or ("{" + ",".join(action.choices) + "}" if action.choices else action.dest.upper())
    value = value.replace("|", "\\|")
    if not action.option_strings:
        return f"`{value if action.metavar else action.dest}`"
    return f"`{', '.join(action.option_strings)}{'' if action.nargs == 0 else f' {value}'}`"


if __name__ == "__main__":
    print(build_reference(), end="")
