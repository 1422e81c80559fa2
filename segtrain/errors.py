"""What can go wrong through what the user gave: each error is one line that says what to do."""


class SegtrainError(Exception):
    """Shown as one line on stderr, without a traceback; the process ends with exit status 2."""


class ConfigError(SegtrainError):
    """The configuration, the command line or an environment variable in it is wrong."""


class DataError(SegtrainError):
    """An image, a mask or a list of them is missing, broken, or not what the configuration says."""


class CheckpointError(SegtrainError):
    """A run folder or a checkpoint in it cannot be used, or cannot be written."""


class TrainingError(SegtrainError):
    """Training cannot go on: the loss is not finite, memory ran out, a batch is too small."""
