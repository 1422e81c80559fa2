"""Table of the public datasets in docs/reference/data-sets.md: `python -m tools.datasets_table` prints it."""

from segtrain.commands.datasets.command import count_classes, show_counts, show_way
from segtrain.formats.dataset_info import load_dataset, published


def build_datasets_table() -> str:
    """The datasets as a Markdown table."""
    rows = ["| `format` | dataset | classes | images | license | get it |", "|---|---|---|---|---|---|"]
    for name in published():
        dataset = load_dataset(name)
        about = dataset.about
        cells = [f"[{about.title}]({about.home})", count_classes(dataset), show_counts(about.images), about.license]
        rows.append(
            f"| `{name}` | {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} | {show_way(about)} |"
        )
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(build_datasets_table(), end="")
