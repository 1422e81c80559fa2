"""Index of the libraries' names: `python -m tools.library_index` writes segtrain/config/library_index.json anew."""

import json
from typing import Any

from segtrain.config.libraries import INDEX_FILE, read_libraries


def write_index(index: dict[str, Any]) -> None:
    """Write library_index.json."""
    INDEX_FILE.write_text(json.dumps(index, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    print(f"{INDEX_FILE}: written")


if __name__ == "__main__":
    old = json.loads(INDEX_FILE.read_text(encoding="utf-8"))
    new = read_libraries()
    if old["timm_models"] == new["timm_models"]:
        new["timm_features"] = old["timm_features"]
    else:
        print("timm has other models now: run python -m tools.encoder_probe as well")
    write_index(new)
