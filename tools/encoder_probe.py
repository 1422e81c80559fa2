"""Probe of timm's encoders: `python -m tools.encoder_probe` finds which models can be encoders, for the index.

It takes minutes; `python -m tools.encoder_probe WORD` asks those alone whose names contain the word. Each is built on
the meta device, which has shapes but neither memory nor numbers, and is shown an image.
"""

import json
import sys
import warnings
from collections.abc import Sequence

import torch
from tqdm import tqdm

from segtrain.config.libraries import INDEX_FILE
from segtrain.config.schema import ModelConfig
from segtrain.models.model import build_model
from tools.library_index import write_index

SIZE = (150, 101)  # no multiple of anything, so that a model which takes one size only fails


def probe_encoder(name: str) -> str:
    """`pyramid` for a timm model that smp's architectures take, `plain` for one that only DPT and its like take, else
    `none`."""
    if _segments("Unet", name):
        return "pyramid"
    return "plain" if _segments("DPT", name) else "none"


def _segments(architecture: str, name: str, device: str = "meta") -> bool:
    config = ModelConfig(name=architecture, encoder_name=f"tu-{name}")
    try:
        with torch.device(device), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logits = build_model(config, channels=3, outputs=2).eval()(torch.zeros(1, 3, *SIZE))
    except Exception as error:  # whatever a library raises on the way says the same, but for a number that meta lacks
        return "meta tensors" in str(error) and device == "meta" and _segments(architecture, name, "cpu")
    return logits.shape == (1, 2, *SIZE)


def group_by_kind(names: Sequence[str], kinds: Sequence[str]) -> dict[str, list[str]]:
    """The part of the index: plain transformers, and names that none takes; all others give a pyramid."""
    pairs = list(zip(names, kinds, strict=True))
    return {wanted: [name for name, kind in pairs if kind == wanted] for wanted in ("plain", "none")}


if __name__ == "__main__":
    index = json.loads(INDEX_FILE.read_text(encoding="utf-8"))
    models = index["timm_models"]
    known = {name: kind for kind, names in index["timm_features"].items() for name in names}
    asked = [name for name in models if "".join(sys.argv[1:]) in name]
    known |= {name: probe_encoder(name) for name in tqdm(asked)}
    write_index(index | {"timm_features": group_by_kind(models, [known.get(name, "pyramid") for name in models])})
