"""Reference of the commands, made from their parsers:
`python -m tools.commands_reference > docs/reference/commands.md`."""

import argparse

from segtrain.__main__ import COMMANDS, build_parser

INTRODUCTION = """# Commands and exit codes

`python -m segtrain COMMAND`, or `segtrain COMMAND` where the package is [installed](../how-to/install.md). `train.py`
and `predict.py` are `train` and `predict`.

| exit status | meaning |
|---|---|
| 0 | done |
| 1, from `check` | the data has errors |
| 1, from `predict` | some images could not be predicted |
| 1, from `batch` | some runs failed |
| 1, from `export` | the exported file does not give the same predictions |
| 1, from `train --overfit` | the images were not learned |
| 1, from any command | the disk is full or a file cannot be read, in one line; or a bug in segtrain, with a traceback |
| 2 | something to correct in the configuration, the command line, the data or a checkpoint; a line for each problem |
| 130, 143 | stopped by Ctrl-C or SIGTERM; the state of a training is saved, and `--resume` continues it |

`python -m tools.commands_reference > docs/reference/commands.md` makes this page, and a test compares it with the code.
"""


def build_reference() -> str:
    """Markdown: a section for each command, with a table of its arguments and what --help says after them."""
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
    more = f"\n```text\n{parser.epilog.strip()}\n```\n" if parser.epilog else ""
    return f"## {name}\n\n```text\n{text}\n```\n{table}{more}"


def _spell(action: argparse.Action) -> str:
    """`--flag VALUE` as the help has it."""
    metavar = " ".join(action.metavar) if isinstance(action.metavar, tuple) else action.metavar
    value = metavar or ("{" + ",".join(action.choices) + "}" if action.choices else action.dest.upper())
    value = value.replace("|", "\\|")
    if not action.option_strings:
        return f"`{value if action.metavar else action.dest}`"
    return f"`{', '.join(action.option_strings)}{'' if action.nargs == 0 else f' {value}'}`"


if __name__ == "__main__":
    print(build_reference(), end="")
