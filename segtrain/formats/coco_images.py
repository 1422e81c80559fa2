"""Image files of COCO's file_name: where it says, or else wherever below the folder the only file of that name is."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

from segtrain.errors import name_some

_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio puts it before the names of files that it is given


class ImageFinder:
    """Finds the images of an annotation file below a folder; `doubles` are names that several of its files have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.doubles: dict[str, list[str]] = {}
        self._listings: dict[str, set[str]] = {}
        self._below: dict[str, list[str]] | None = None

    def find(self, written: str) -> str | None:
        """The path of an image, from the folder or absolute: a file_name as it is, or with the signs of Windows; or
        else by its last part, as it is, decoded from a URL, and without what Label Studio puts before it. None where no
        file, or more than one, has that name."""
        for path in (written, written.replace("\\", "/")):
            if self._is_there(os.path.join(self.folder, path)):
                return path
        last = re.split(r"[/\\]", written)[-1]
        decoded = re.split(r"[/\\]", unquote(written))[-1].removeprefix("?d=").partition("?")[0]
        for name in dict.fromkeys((last, decoded, _UPLOADED.sub("", last), _UPLOADED.sub("", decoded))):
            found = self._files_below().get(name, []) if name else []
            if len(found) == 1:
                return found[0]
            if found:
                self.doubles[name] = found
                return None
        return None

    def describe_doubles(self) -> str:
        """The end of a message about images that were not found: names that several files have."""
        if not self.doubles:
            return ""
        name, found = next(iter(self.doubles.items()))
        return f"; {len(found)} files there are called {name}: {name_some(found)}; give the path in file_name"

    def _is_there(self, path: str) -> bool:
        below, leaf = os.path.split(path)
        if below not in self._listings:
            self._listings[below] = set(os.listdir(below)) if os.path.isdir(below) else set()
        return leaf in self._listings[below]

    def _files_below(self) -> dict[str, list[str]]:
        """Paths from the folder of all files below it, by their names; looked for once, when a file is not where
        file_name says."""
        if self._below is None:
            self._below = {}
            for above, _, files in os.walk(self.folder):
                for file in sorted(files):
                    path = os.path.relpath(os.path.join(above, file), self.folder)
                    self._below.setdefault(file, []).append(path)
        return self._below
