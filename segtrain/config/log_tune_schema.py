"""Schema of the sections `log` and `tune`, which do not affect a training: what is logged, and a search over it."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from segtrain.config.section import Section
from segtrain.config.tree import dump_yaml

Finite = Annotated[float, Field(allow_inf_nan=False)]


class WandbConfig(Section):
    """Weights & Biases. Anything not set here is left to the environment (WANDB_PROJECT, WANDB_NAME, ..)."""

    mode: Literal["online", "offline", "disabled"] = "online"
    """Without an API key or a network, online falls back to offline and says so in one line."""
    project: str | None = None
    """Project of the run; default: WANDB_PROJECT, else segtrain."""
    entity: str | None = None
    """User or team; default: your own."""
    group: str | None = None
    """Group of runs, like the folds of one experiment."""
    tags: list[str] = Field(default_factory=list)
    """Tags of the run."""
    notes: str | None = None
    """What this run is for, in your own words."""
    artifacts: list[Literal["best", "latest"]] = Field(default_factory=list)
    """Checkpoints to upload when the run ends or is stopped, as versions of a model artifact; latest is kept for 30
    days."""
    watch: Literal["gradients", "parameters", "all"] | None = None
    """Log histograms of the gradients, of the parameters, or of both."""
    watch_every_steps: Annotated[int, Field(ge=1)] = 1000
    """Steps between histograms."""
    alert: bool = False
    """Send an alert if the training is stopped or fails."""
    lineage: bool = False
    """Record the inputs of the run: its dataset, as an artifact that references the files, and the run of
    model.weights."""
    registry: str | None = None
    """Registry collection to link best.pt to, like wandb-registry-model/street; best.pt is then uploaded."""


class LogConfig(Section):
    """What is written in addition to metrics.csv, curves.png, confusion.png and predictions/, which are always
    written."""

    progress: bool = True
    """Show a progress bar."""
    images: Annotated[int, Field(ge=0)] = 6
    """Number of validation images, always the same ones, whose predictions are drawn after an evaluation."""
    every_steps: Annotated[int, Field(ge=1)] = 20
    """Steps between two values of the loss in the step charts."""
    tensorboard: bool = False
    """Also write TensorBoard events, into the run folder."""
    wandb: WandbConfig = WandbConfig()
    """Weights & Biases."""


class TuneRange(Section):
    """Numbers from low to high, both included; or a list of choices, which can be written without the key."""

    low: Finite | None = None
    """Smallest value."""
    high: Finite | None = None
    """Largest value."""
    log: bool = False
    """Sample on a logarithmic scale: for values whose factor matters, like a learning rate."""
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Distance between two values, counted from low. For arguments of the libraries only a range with an integer step
    gives integers; for the keys of segtrain the type is known."""
    choices: Annotated[list[Any], Field(min_length=2)] | None = None
    """The values themselves, of any type: strings, numbers, lists, null."""

    @model_validator(mode="after")
    def _is_a_range(self) -> "TuneRange":
        ends = [key for key in ("low", "high") if getattr(self, key) is not None]
        if self.choices is not None:
            if ends or self.log or self.step:
                raise ValueError("choices cannot be combined with low, high, log or step; remove those")
            return self
        if len(ends) < 2:
            raise ValueError("write {low: 1e-4, high: 1e-2}, or a list of choices like [4, 8, 16]")
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be less than high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log: low must be greater than 0, not {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other; write only one of them")
        return self

    def show(self, value: Any, *, whole: bool = False) -> str:
        """A value of the range as `key=value` has it; numbers with six digits."""
        if self.choices is None:
            return str(round(value)) if whole else f"{value:.6g}"
        return dump_yaml(value, width=float("inf"), default_flow_style=True).removesuffix("\n...\n").strip()

    def ends(self, *, whole: bool = False) -> list[str]:
        """Its smallest and its largest value, or all choices, as `key=value` has them."""
        values = [self.low, self.high] if self.choices is None else self.choices
        return [self.show(value, whole=whole) for value in values]


class TuneConfig(Section):
    """A hyperparameter search over the experiment: `python -m segtrain tune`. A training ignores it."""

    trials: Annotated[int, Field(ge=1)] = 20
    """Total number of trainings. The first is the experiment as written, if its values are within the ranges."""
    ranges: Annotated[dict[str, TuneRange], Field(min_length=1)]
    """What varies: any key as written in `key=value`, like optimizer.lr or loss.DiceLoss, with {low, high, log, step}
    or a list of choices."""

    @field_validator("ranges", mode="before")
    @classmethod
    def _bare_choices(cls, ranges: Any) -> Any:
        if not isinstance(ranges, dict):
            return ranges
        return {key: {"choices": item} if isinstance(item, list) else item for key, item in ranges.items()}
