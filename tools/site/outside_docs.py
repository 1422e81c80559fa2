"""Hook of mkdocs: the README and what pages link to outside of docs/ become part of the site, links included.

Files are read from where they are in the checkout: docs/X is /X of the site, and any other file keeps its path. The
notebook becomes a page of its text and code.
"""

import json
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
    targets = {PROJECT / page for page in PAGES}
    for source in [*(PROJECT / "docs").rglob("*.md"), *targets]:
        targets |= {target for _, target in _links(source) if target.is_file()}
    for target in sorted(targets):
        if target.suffix == ".ipynb":
            files.append(File.generated(config, _uri(target), content=_to_markdown(target)))
        elif _uri(target) not in files.src_uris:
            files.append(File.generated(config, _uri(target), abs_src_path=str(target)))
    files.append(File.generated(config, "assets/tables.css", abs_src_path=str(Path(__file__).with_name("tables.css"))))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Points each link of a page at where its target is in the site."""
    uri = page.file.src_uri
    source = Path(page.file.abs_src_path or PROJECT / uri)  # the notebook has no file of its own

    def moved(link: re.Match) -> str:
        target = (source.parent / link[2]).resolve()
        return f"{link[1]}{os.path.relpath(_uri(target), os.path.dirname(uri))}" if target.is_file() else link[0]

    return LINK.sub(moved, markdown)


def _links(source: Path) -> list[tuple[str, Path]]:
    return [(link, (source.parent / link).resolve()) for _, link in LINK.findall(source.read_text(encoding="utf-8"))]


def _uri(file: Path) -> str:
    """Path of a file of the checkout in the site."""
    return file.relative_to(PROJECT).as_posix().removeprefix("docs/").replace(".ipynb", ".md")


def _to_markdown(notebook: Path) -> str:
    """The cells of a notebook, code in fences."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook.read_bytes())["cells"]]
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in cells)
