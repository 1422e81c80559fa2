"""Hugging Face Space: a folder with model.onnx and app.py, the page that shows what it predicts."""

import shutil
from dataclasses import replace
from pathlib import Path

import yaml

from segtrain.commands.export.graph import ExportError, ExportOptions
from segtrain.commands.export.onnx import export as export_onnx
from segtrain.data.transforms import transform_names
from segtrain.inference.network import TorchNetwork

GRADIO = "6.31.0"  # what app.py was tried with; Spaces install it by themselves
REQUIREMENTS = "numpy>=1.26\nonnxruntime>=1.20\npillow>=10.4\n"
OTHERWISE = "write --to onnx, and prepare the images in your own app"


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package. The model gives labels. Raises ExportError for a model whose images a page cannot take as they
    are uploaded."""
    task = network.task
    if options.size is not None:
        raise ExportError("--to space accepts images of any size: remove --size")
    if task.channels not in (1, 3) or task.scale is not None or task.bands is not None:
        given = ", ".join(f"{name} {value}" for name, value in task.image_options.items())
        raise ExportError(
            f"--to space supports 8-bit grayscale or RGB images, but this model needs others ({given}): {OTHERWISE}"
        )
    if names := list(transform_names(task.transforms)):
        raise ExportError(f"--to space: the app does not apply transforms.val, here {', '.join(names)}: {OTHERWISE}")
    path.mkdir()
    export_onnx(network, path / "model.onnx", replace(options, labels=True))
    shutil.copyfile(Path(__file__).with_name("app.py"), path / "app.py")
    (path / "requirements.txt").write_text(REQUIREMENTS)
    text = write_readme(network.config.name, task.names, options.license)
    (path / "README.md").write_text(text, encoding="utf-8")


def write_readme(title: str, names: list[str], license: str | None) -> str:
    """README.md of a Space: the settings that the hub reads, as YAML, then a few words.
    See https://huggingface.co/docs/hub/spaces-config-reference."""
    settings = {
        "title": title,
        "emoji": "🖼️",
        "colorFrom": "blue",
        "colorTo": "green",
        "sdk": "gradio",
        "sdk_version": GRADIO,
        "app_file": "app.py",
        **({"license": license} if license else {}),
    }
    header = yaml.safe_dump(settings, allow_unicode=True, sort_keys=False)
    shown = ", ".join(" ".join(name.split()) for name in names)
    return f"""---
{header}---

Semantic segmentation of images; the classes are {shown}.

Run it here: `pip install gradio=={GRADIO} -r requirements.txt`, then `python app.py`. The page offers the images
in a folder `examples`. The model, `model.onnx`, was trained and exported with segtrain.
"""
