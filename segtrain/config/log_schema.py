"""Schema of the section `log`: what is written and shown."""

from typing import Annotated, Literal

from pydantic import Field

from segtrain.config.section import Section


class WandbConfig(Section):
    """Weights & Biases. What is not written here is left to the environment (WANDB_PROJECT, WANDB_NAME, ..)."""

    mode: Literal["online", "offline", "disabled"] = "online"
    """online falls back to offline, with one line that says so, where there is no API key or no network."""
    project: str | None = None
    """Project that the run appears in; default: WANDB_PROJECT, else segtrain."""
    entity: str | None = None
    """User or team; default: your own."""
    group: str | None = None
    """Group of runs, like the folds of one experiment."""
    tags: list[str] = Field(default_factory=list)
    """Tags of the run."""
    notes: str | None = None
    """What this run is for, in your words."""
    artifacts: list[Literal["best", "latest"]] = Field(default_factory=list)
    """Checkpoints to upload when the run ends or is stopped, as versions of a model artifact; latest is kept for 30
    days."""
    watch: Literal["gradients", "parameters", "all"] | None = None
    """Histograms of the gradients, of the parameters, or of both."""
    watch_every_steps: Annotated[int, Field(ge=1)] = 1000
    """Steps between two histograms."""
    alert: bool = False
    """Send an alert when the training is stopped or fails."""
    lineage: bool = False
    """Note as inputs of the run its data set, as an artifact that refers to the files, and the run of model.weights."""
    registry: str | None = None
    """Collection of the registry to link best.pt to, like wandb-registry-model/street; best.pt is then uploaded."""


class LogConfig(Section):
    """What is written beside metrics.csv, curves.png, confusion.png and predictions/, which always are."""

    progress: bool = True
    """Show the progress bar."""
    images: Annotated[int, Field(ge=0)] = 6
    """Validation images, always the same, whose predictions are drawn after an evaluation."""
    every_steps: Annotated[int, Field(ge=1)] = 20
    """Steps between two values of the loss in the step charts."""
    tensorboard: bool = False
    """Write TensorBoard events too, into the run folder."""
    wandb: WandbConfig = WandbConfig()
    """Weights & Biases."""
