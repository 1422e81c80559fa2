"""Failures of torch whose cause is a setting, explained."""

from collections.abc import Iterator
from contextlib import contextmanager

from segtrain.config.schema import Config
from segtrain.errors import TrainingError, is_out_of_memory


@contextmanager
def explained_failures(config: Config) -> Iterator[None]:
    """Turn failures of torch whose cause is a setting into one line that names the setting."""
    try:
        yield
    except (MemoryError, RuntimeError, ValueError, ConnectionError, EOFError) as error:
        text = str(error)
        if is_out_of_memory(error):
            raise TrainingError(_no_memory(config, text)) from error
        ended = "DataLoader worker" in text and ("killed by signal" in text or "exited unexpectedly" in text)
        # The others come where it ended while it handed over a batch.
        if ended or "items of ancdata" in text or isinstance(error, (ConnectionError, EOFError)):
            raise TrainingError(
                f"a process that reads images was killed ({' '.join(text.split())[:120]}), most likely for lack of "
                f"memory; lower data.workers (now {config.data.workers}) or data.batch_size (now "
                f"{config.data.batch_size}); in a container, raise shared memory, like --shm-size=4g"
            ) from error
        if "No space left on device" in text and "shared memory" in text:
            raise TrainingError(
                f"/dev/shm, which passes batches between processes, is full; lower data.workers (now "
                f"{config.data.workers}) or write 0; in a container, raise shared memory, like --shm-size=4g"
            ) from error
        if "Expected more than 1 value per channel" in text:
            raise TrainingError(
                f"data.batch_size: {config.model.title} has a BatchNorm that needs at least two images in a training "
                f"batch, but there is one; raise data.batch_size, and add images if there are too few"
            ) from error
        raise


def _no_memory(config: Config, text: str) -> str:
    encoder = config.model.encoder_name
    smaller = f"a smaller model.encoder_name (now {encoder})" if encoder else "a smaller network"
    return (
        f"not enough memory ({' '.join(text.split())[:120]}); lower data.batch_size (now {config.data.batch_size}; "
        f"train.accumulate_steps compensates for it), the crop in transforms.train or data.eval_batch_size, or use "
        f"{smaller}"
    )
