"""Gradio app for a Hugging Face Space: takes an image and shows its classes over it, with their share of the pixels.

Edit it as you like. Everything specific to a model is in model.onnx, next to this file, which segtrain exported with
--labels: it takes images (1, C, H, W) uint8 and returns labels, and its metadata has the names and colors of the
classes.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

FOLDER = Path(__file__).parent
LARGEST_SIDE_PX = 2048  # larger images are reduced, since memory grows with the pixels


class LabelModel:
    """model.onnx: `names` and `colors` ("#rrggbb") of its classes, and their masks for an image."""

    def __init__(self, path: Path):
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.names = json.loads(metadata["names"])
        self.colors = ["#{:02x}{:02x}{:02x}".format(*color) for color in json.loads(metadata["colors"])]
        self.mode = json.loads(metadata["segtrain"])["task"]["mode"]
        self.picture_mode = "L" if self.session.get_inputs()[0].shape[1] == 1 else "RGB"

    def predict_labels(self, image: Image.Image) -> np.ndarray:
        """HW class indices, or CHW of 0 and 1 where classes may overlap."""
        pixels = np.asarray(image.convert(self.picture_mode))
        batch = pixels.reshape(1, *pixels.shape[:2], -1).transpose(0, 3, 1, 2)
        (labels,) = self.session.run(None, {"images": np.ascontiguousarray(batch)})
        return labels[0]

    def masks(self, labels: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Name and HW bool of each class that occurs."""
        for index, name in enumerate(self.names):
            mask = labels[index] == 1 if self.mode == "multilabel" else labels == index
            if mask.any():
                yield name, mask


def annotate(image: Image.Image | None, model: LabelModel) -> tuple[tuple | None, dict[str, float]]:
    """What gradio's AnnotatedImage and Label show: the image with a mask for each class, without the background of a
    single class; and the share of the pixels that each class has, 0..1."""
    if image is None:
        return None, {}
    image.thumbnail((LARGEST_SIDE_PX, LARGEST_SIDE_PX))
    found = list(model.masks(model.predict_labels(image)))
    shares = {name: float(mask.mean()) for name, mask in found}
    over = [(mask, name) for name, mask in found if model.mode != "binary" or name != model.names[0]]
    return (image, over), shares


def main() -> None:
    """Serve the page."""
    import gradio

    model = LabelModel(FOLDER / "model.onnx")
    examples = sorted(str(file) for file in (FOLDER / "examples").glob("*"))
    page = gradio.Interface(
        fn=lambda image: annotate(image, model),
        inputs=gradio.Image(type="pil", label="Image"),
        outputs=[
            gradio.AnnotatedImage(label="Classes", color_map=dict(zip(model.names, model.colors, strict=True))),
            gradio.Label(label="Share of the pixels", show_heading=False),
        ],
        title="Semantic segmentation",
        examples=examples or None,  # images in a folder examples/ beside this file
        flagging_mode="never",
        api_name="segment",
    )
    page.launch()


if __name__ == "__main__":
    main()
