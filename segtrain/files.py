"""Small text files that are there whole or not at all."""

from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Write a small file beside the old one and rename it: a full disk must not cost the configuration of a run."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")  # of file names
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
