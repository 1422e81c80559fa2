"""Limits: what a server takes, and for how long it waits."""

import math
from dataclasses import dataclass

from segtrain.errors import ConfigError

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Bounds of what clients may ask for.

    Args:
        max_bytes: length of a request's body.
        max_pixels: height times width of an image, and of all images of one batch together.
        max_waiting: requests for a prediction that are dealt with at one time; more are told to come again.
        patience_s: seconds that a client has for the head of a request, and beside those for what it sends and takes.
        bytes_per_s: the slowest way to send a request or to take an answer.

    Raises ConfigError for values that would let nothing through.
    """

    max_bytes: int = 32 * MEGABYTE
    max_pixels: int = 16 * MEGABYTE
    max_waiting: int = 256
    patience_s: float = 30.0
    bytes_per_s: float = 100_000.0

    def allowed_s(self, count: int) -> float:
        """Seconds within which a client must have sent or taken `count` bytes."""
        return self.patience_s + count / self.bytes_per_s

    def __post_init__(self) -> None:
        for flag, value in (("--max-mb", self.max_bytes), ("--max-megapixels", self.max_pixels)):
            if not 1 <= value < math.inf:
                raise ConfigError(f"{flag} {value / MEGABYTE:g}: must be above 0, and a number")
