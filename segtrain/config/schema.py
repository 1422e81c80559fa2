"""Schema: the sections of an experiment, one after the other, and what must hold between them.

The sections stand here and not beside their builders because this file imports neither torch nor any other slow
library: a mistake in an experiment is told before they are loaded.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from segtrain.config.data_schema import DataConfig
from segtrain.config.log_tune_schema import LogConfig, TuneConfig
from segtrain.config.section import MisplacedError, NamedSection, Replaced, Section, UserPath, suggest

MEANS = ("miou", "mdice", "pixel_accuracy", "mean_class_accuracy", "fwiou", "mprecision", "mrecall")
PER_CLASS = ("iou", "dice", "precision", "recall")


class ModelConfig(NamedSection):
    """The network and its own arguments beside it."""

    name: str = "Unet"
    """A network of segmentation-models-pytorch or segtrain, as `python -m segtrain models` lists them with what they
    cost and are good for; or a dotted path to one of your own."""
    encoder_name: str | None = "resnet34"
    """Encoder of smp, or tu- and any timm model (`python -m segtrain models` lists both); null where the network takes
    none."""
    encoder_weights: str | bool | None = None
    """Weights to start the encoder from: a name like imagenet, a file, or null. A timm encoder has their name behind
    its own (tu-resnet50.a1_in1k), and imagenet or true here. A file holds a state dict with the names of smp, timm,
    torchvision or lukemelas' EfficientNets, behind any prefix; its path may begin with an installed package."""
    weights: str | None = None
    """A whole network to start from: a run folder, a checkpoint, a folder that smp's save_pretrained wrote, or
    OWNER/NAME of one on the hub. Classes of the same name keep their outputs, others start anew."""
    mean: list[float] | None = None
    """Mean of each channel, in images scaled to 0..1. Default: what the encoder was pretrained with."""
    std: list[Annotated[float, Field(gt=0)]] | None = None
    """Standard deviation of each channel, in images scaled to 0..1. Default: as for mean."""
    freeze: Literal["encoder", "encoder_batchnorm"] | None = None
    """encoder: train the decoder only; encoder_batchnorm: keep the encoder's BatchNorm as it was pretrained."""
    aux: Annotated[float, Field(ge=0)] = 0.0
    """Factor of the loss of auxiliary outputs, which training alone has: those of the network, else that of a fully
    convolutional head on the encoder's second-to-last features. 0.4 is common; 0: none."""

    @property
    def title(self) -> str:
        """The names of the network and of its encoder."""
        return f"{self.name} {self.encoder_name}" if self.encoder_name else self.name


def is_file_name(weights: object) -> bool:
    """Whether encoder_weights are a path, and not a name that the hub knows."""
    return isinstance(weights, str) and ("/" in weights or "." in weights)


class LossTerm(NamedSection):
    """A term of the loss; keys beside the declared ones are the arguments of the loss."""

    shorthand: ClassVar[str] = "coef"
    coef: float = 1.0
    """Factor of the term in the sum."""
    from_epoch: Annotated[int, Field(ge=0)] = 0
    """Epochs that are trained before the term joins in."""


class OptimizerConfig(NamedSection):
    """An optimizer of torch.optim or timm.optim, with its own arguments beside the declared keys."""

    name: str = "AdamW"
    """Class of torch.optim, then timm.optim."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate of the decoder: the highest one where the schedule is OneCycleLR."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay of the weights; norms and biases get none."""
    encoder_lr_factor: Annotated[float, Field(ge=0)] = 1.0
    """The encoder's learning rate is lr times this: 0.1 is common for a pretrained one."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Layer-wise decay: the learning rate of each layer of the encoder is that of the layer behind it times this. 0.7
    to 0.9 is common for pretrained transformers."""


class ScheduleConfig(NamedSection):
    """A scheduler of torch.optim.lr_scheduler, with its own arguments. What follows from the length of the training
    (total_steps, T_max, total_iters, max_lr) is filled in unless it is written."""

    name: str = "OneCycleLR"
    """Class of torch.optim.lr_scheduler."""
    warmup: Annotated[float, Field(ge=0)] = 0
    """Steps of the optimizer in which the learning rate rises from near 0 to where the scheduler begins; below 1, their
    share of all steps."""
    interval: Literal["step", "epoch"] = "step"
    """What the scheduler counts: optimizer steps, or epochs (StepLR with step_size: 10 then means ten epochs)."""


class TransformsConfig(Section):
    """Lists of transforms, looked up in albumentations, then in torchvision.transforms.v2: Name, Name: {arguments}, or
    Name: [children]."""

    train: list[str | dict[str, Any]] = Field(default_factory=list)
    """Augmentation of the training images, in this order."""
    val: list[str | dict[str, Any]] = Field(default_factory=list)
    """Done to every image in validation and prediction; only what keeps the frame: pixel-level transforms and plain
    resizing. Predictions are scored and written at the original size all the same."""


class TrainConfig(Section):
    """How long, on what, and how exactly."""

    epochs: Annotated[int, Field(ge=1)] = 30
    """Passes over the training images."""
    device: str = "auto"
    """auto: cuda, else mps, else cpu; or any torch device, like cuda:1."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 where the processor or GPU computes it, else fp16 on a CUDA GPU, else fp32."""
    channels_last: bool = True
    """Memory layout in which convolutions are faster; changes no result beyond rounding."""
    compile: bool = False
    """Compile the model with torch.compile: a minute or more first, then faster on recent GPUs."""
    accumulate_steps: Annotated[int, Field(ge=1)] = 1
    """Batches that share a step of the optimizer: a larger batch than memory allows. Losses of pixels count every pixel
    of it alike; Dice, Jaccard and the like are means over its batches."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradient of all parameters together, which is logged; .inf logs it and clips nothing."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Keep an exponential moving average of the weights with this decay per step of the optimizer, and evaluate and
    save it (0.999, say)."""
    eval_every_epochs: Annotated[int, Field(ge=1)] = 1
    """Epochs between two evaluations; the last epoch is always evaluated."""
    eval_train: bool = False
    """Evaluate on the training images as well, without augmentation."""
    monitor: str = "miou"
    """Metric of the validation that chooses best.pt, the highest being the best: any column val/... of metrics.csv,
    without val/; or min loss, the lowest."""
    freeze_encoder_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs in which the decoder alone is trained, before the encoder joins in; it keeps its BatchNorm until then."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop after this many evaluations without a better one."""
    save_every_epochs: Annotated[int, Field(ge=1)] | None = None
    """Keep the weights of every so many epochs too, as epoch-10.pt, epoch-20.pt, ..."""
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """End after this many steps of the optimizer, if the epochs are not over before; the schedule reckons with it."""
    max_hours: Annotated[float, Field(gt=0)] | None = None
    """End after this many hours of training, with an evaluation; those before a resume count. The schedule does not
    know, and ends wherever it is."""
    sync_batchnorm: bool = True
    """With several processes on GPUs: BatchNorm takes its statistics from the images of all."""
    gather_loss: bool = True
    """With several processes: LovaszLoss and other losses that are no sums see the images of all, which takes the
    memory for their logits; else each process has its own."""
    save_every_minutes: Annotated[float, Field(gt=0)] = 10.0
    """Minutes between two savings of last.pt within an epoch; the end of an epoch always saves."""


class Config(Section):
    """A whole experiment."""

    name: str = Field("run", pattern=r"^[\w][\w.-]*$")
    """Name of the experiment: runs are written to <runs_dir>/<name>-1, -2, and so on."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random: weights, order, augmentation."""
    runs_dir: UserPath = Path("runs")
    """Folder that run folders are made in."""
    data: DataConfig
    """What to train on."""
    transforms: TransformsConfig = TransformsConfig()
    """Augmentation."""
    model: ModelConfig = ModelConfig()
    """The network."""
    loss: Annotated[dict[str, LossTerm], Replaced()] = Field(default_factory=lambda: {"CrossEntropyLoss": LossTerm()})
    """A weighted sum: Name: coef, or Name: {coef, from_epoch, arguments}. Losses of segtrain, then smp, then torch.nn,
    or a dotted path to your own. A file's loss replaces the one below it as a whole."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """The optimizer."""
    schedule: ScheduleConfig | None = ScheduleConfig()
    """The learning rate's course; null keeps it constant."""
    train: TrainConfig = TrainConfig()
    """The training."""
    log: LogConfig = LogConfig()
    """What is written and shown."""
    tune: TuneConfig | None = Field(None, exclude=True)
    """A search over this experiment, which a training ignores."""

    @field_validator("loss", mode="before")
    @classmethod
    def _bare_coefficients(cls, loss: Any) -> Any:
        if not isinstance(loss, dict):
            return loss
        if not loss:
            raise ValueError("is empty; name at least one loss, like CrossEntropyLoss: 1.0")
        return {
            name: term if isinstance(term, dict) else {"coef": 1.0 if term is None else term}
            for name, term in loss.items()
        }

    @property
    def cache_dir(self) -> Path:
        """Folder for what was counted in the masks; it may be deleted at any time."""
        return self.runs_dir / ".cache"

    @model_validator(mode="after")
    def _monitor_is_a_metric(self) -> "Config":
        if self.data.classes is not None:
            known = [*MEANS, "min loss", *(f"{kind}/{name}" for kind in PER_CLASS for name in self.data.class_names)]
            if self.train.monitor not in known:
                raise MisplacedError(
                    ("train", "monitor"), f"no metric '{self.train.monitor}'; {suggest(self.train.monitor, known)}"
                )
        return self

    @model_validator(mode="after")
    def _sections_agree(self) -> "Config":
        for key in ("mean", "std"):
            given = getattr(self.model, key)
            if given is not None and len(given) != self.data.channels:
                raise MisplacedError(("model", key), f"has {len(given)} numbers for data.channels {self.data.channels}")
        if min(term.from_epoch for term in self.loss.values()) > 0:
            raise MisplacedError(("loss",), "every term waits for its from_epoch; one must start with epoch 0")
        return self
