"""Samples that are drawn, and what reads them."""

from pathlib import Path

from segtrain.config.schema import DataConfig
from segtrain.data.dataset import TrainSamples
from segtrain.data.labels import LabelDecoder
from segtrain.data.transforms import build_transform
from segtrain.formats.sample import Sample
from tests.conftest import draw_sample

OPTIONS = {"channels": 3}
DECODER = LabelDecoder(DataConfig(root="x", classes=["a", "b", "c"]))


def draw(folder: Path, sizes) -> list[Sample]:
    samples = []
    for index, (height, width) in enumerate(sizes):
        draw_sample(folder, str(index), seed=index, height=height, width=width)
        samples.append(Sample(str(index), f"{folder}/images/{index}.png", f"{folder}/masks/{index}.png"))
    return samples


def train_samples(samples, transforms=(), seed=0, kept=None):
    transform = build_transform(transforms, ignore_index=255)
    return TrainSamples(samples, DECODER, image_options=OPTIONS, transform=transform, seed=seed, kept=kept)
