"""Hook of mkdocs: the README and what pages link to outside of docs/ become part of the site, links included.

Files are read from where they are in the checkout: docs/X is /X of the site, and any other file keeps its path.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PROJECT = Path(__file__).parents[2]
LINK = re.compile(r"(\]\()([^)#\s:]+)(?=[)#])")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "experiments/README.md", "notebooks/tutorial.ipynb")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages outside of docs/, and every other file that a page links to."""
    uris = set(PAGES)
    for source in [*(PROJECT / "docs").rglob("*.md"), *(PROJECT / page for page in PAGES)]:
        uris |= {_uri(target) for _, target in _links(source) if target.is_file()}
    for uri in sorted(uris):
        if uri not in files.src_uris:
            files.append(File.generated(config, uri, abs_src_path=str(PROJECT / uri)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Points each link of a page at where its target is in the site."""
    source, here = Path(page.file.abs_src_path), os.path.dirname(page.file.src_uri)

    def moved(link: re.Match) -> str:
        target = (source.parent / link[2]).resolve()
        return f"{link[1]}{os.path.relpath(_uri(target), here)}" if target.is_file() else link[0]

    return LINK.sub(moved, markdown)


def _links(source: Path) -> list[tuple[str, Path]]:
    return [(link, (source.parent / link).resolve()) for _, link in LINK.findall(source.read_text(encoding="utf-8"))]


def _uri(file: Path) -> str:
    """Path of a file of the checkout in the site."""
    return file.relative_to(PROJECT).as_posix().removeprefix("docs/")
