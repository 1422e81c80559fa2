"""Pictures of mixed training samples, so that one can see what `data.mix` makes."""

from collections.abc import Iterator
from itertools import islice

from PIL import Image

from segtrain.data.dataset import Made, TrainSamples, sample_seed
from segtrain.errors import reason_of
from segtrain.training.run import Run
from segtrain.visualize import flatten_layers, sample_panel, to_rgb

SHOWN = 4
TRIED = 64  # samples of which few or none may be mixed


def draw_mixed(run: Run, samples: TrainSamples) -> None:
    """Write the first mixed samples of the first epoch, each with its mask, into the folder `mixed` of a run. A full
    disk costs a warning. Raises DataError for a file that is wrong."""
    task, folder = run.task, run.folder / "mixed"
    try:
        folder.mkdir(exist_ok=True)
        for sample, image, mask in islice(_mixed(samples), SHOWN):
            flat = mask if mask.ndim == 2 else flatten_layers(mask, ignore_index=task.ignore_index)
            picture = sample_panel(
                to_rgb(image), flat, names=task.picture_names, colors=task.colors, ignore_index=task.ignore_index
            )
            Image.fromarray(picture).save(folder / f"{sample.name.replace('/', '_')}.png")
    except OSError as error:
        run.log.say(f"warning: pictures were not written: {reason_of(error)}")


def _mixed(samples: TrainSamples) -> Iterator[Made]:
    for index in range(min(len(samples), TRIED)):
        seed = sample_seed(samples.seed, 0, index)
        made = samples.augment(index, seed)
        mixed = samples.mix(made, seed, samples)
        if mixed is not made:
            yield mixed
