"""Schema: the sections of an experiment, one after another, and the rules between them.

The sections are defined here rather than next to their builders because this file imports neither torch nor any other
slow library: a mistake in an experiment is reported before they are loaded.
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
    """The network. Other keys than these are arguments of the network."""

    name: str = "Unet"
    """A network of segmentation-models-pytorch or segtrain (`python -m segtrain models` lists them with their cost and
    their strengths), or a dotted path to a class of your own."""
    encoder_name: str | None = "resnet34"
    """An encoder of smp, or tu- and any timm model (`python -m segtrain models` lists both); null if there is none."""
    encoder_weights: str | bool | None = None
    """Weights to start the encoder from: a name like imagenet, a file, or null. For a timm encoder the name of the
    weights is part of encoder_name (tu-resnet50.a1_in1k), and this is imagenet or true. A file contains a state dict
    with the key names of smp, timm, torchvision or lukemelas' EfficientNets, after any prefix; its path may start with
    an installed package."""
    weights: str | None = None
    """A complete network to start from: a run folder, a checkpoint, a folder that smp's save_pretrained wrote, or
    OWNER/NAME of one on the hub. Classes of the same name keep their outputs; other outputs start from scratch."""
    mean: list[float] | None = None
    """Mean of each channel, in images scaled to 0..1. Default: that of the encoder's pretraining."""
    std: list[Annotated[float, Field(gt=0)]] | None = None
    """Standard deviation of each channel, in images scaled to 0..1. Default: that of the encoder's pretraining."""
    freeze: Literal["encoder", "encoder_batchnorm"] | None = None
    """encoder: train only the decoder; encoder_batchnorm: keep the encoder's BatchNorm as pretrained."""
    aux: Annotated[float, Field(ge=0)] = 0.0
    """Factor of the loss of auxiliary outputs, which exist only during training: those of the network, or else that of
    a fully convolutional head on the encoder's second-to-last features. 0.4 is common; 0: none."""

    @property
    def title(self) -> str:
        """The names of the network and of its encoder."""
        return f"{self.name} {self.encoder_name}" if self.encoder_name else self.name


def is_file_name(weights: object) -> bool:
    """Whether encoder_weights are a path, and not a name that the hub knows."""
    return isinstance(weights, str) and ("/" in weights or "." in weights)


class LossTerm(NamedSection):
    """A term of the loss. Other keys than these are arguments of the loss."""

    shorthand: ClassVar[str] = "coef"
    coef: float = 1.0
    """Factor of the term in the sum."""
    from_epoch: Annotated[int, Field(ge=0)] = 0
    """Epochs to train before the term is added."""


class OptimizerConfig(NamedSection):
    """An optimizer of torch.optim or timm.optim. Other keys than these are arguments of the optimizer."""

    name: str = "AdamW"
    """Class in torch.optim, or else in timm.optim."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate of the decoder; with OneCycleLR, its maximum."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay; not applied to norms and biases."""
    encoder_lr_factor: Annotated[float, Field(ge=0)] = 1.0
    """The encoder's learning rate is lr times this factor: 0.1 is common for a pretrained encoder."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Layer-wise decay: the learning rate of each encoder layer is that of the next layer times this factor. 0.7 to 0.9
    is common for pretrained transformers."""


class ScheduleConfig(NamedSection):
    """A scheduler of torch.optim.lr_scheduler. Other keys than these are arguments of the scheduler. Those that follow
    from the length of the training (total_steps, T_max, total_iters, max_lr) are filled in unless you write them."""

    name: str = "OneCycleLR"
    """Class in torch.optim.lr_scheduler."""
    warmup: Annotated[float, Field(ge=0)] = 0
    """Optimizer steps over which the learning rate rises from near 0 to where the scheduler starts; below 1, their
    share."""
    interval: Literal["step", "epoch"] = "step"
    """What the scheduler counts: optimizer steps, or epochs (StepLR with step_size: 10 then means ten epochs)."""


class TransformsConfig(Section):
    """Lists of transforms from albumentations or else torchvision.transforms.v2: Name, Name: {arguments}, or Name:
    [children]."""

    train: list[str | dict[str, Any]] = Field(default_factory=list)
    """Augmentation of the training images, in this order."""
    val: list[str | dict[str, Any]] = Field(default_factory=list)
    """Applied to every image in validation and prediction. Only what keeps the frame is allowed: pixel-level transforms
    and plain resizing. Predictions are scored and written at the original size in any case."""


class TrainConfig(Section):
    """How long to train, on which device, and with which precision."""

    epochs: Annotated[int, Field(ge=1)] = 30
    """Passes over the training images."""
    device: str = "auto"
    """auto: cuda, else mps, else cpu; or any torch device, like cuda:1."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 where the CPU or GPU supports it, else fp16 on a CUDA GPU, else fp32."""
    channels_last: bool = True
    """Memory layout in which convolutions are faster; results change only by rounding."""
    compile: bool = False
    """Compile the model with torch.compile: takes a minute or more at the start, then runs faster on recent GPUs."""
    accumulate_steps: Annotated[int, Field(ge=1)] = 1
    """Batches per optimizer step, for larger batches than memory allows. Pixel losses weight every pixel of the step
    alike; Dice, Jaccard and the like are averaged over its batches."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest gradient norm over all parameters; the norm is logged. .inf logs it without clipping."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Evaluate and save a moving average of the weights with this decay per optimizer step (0.999, for example)."""
    eval_every_epochs: Annotated[int, Field(ge=1)] = 1
    """Epochs between evaluations; the last epoch is always evaluated."""
    eval_train: bool = False
    """Also evaluate on the training images, without augmentation."""
    monitor: str = "miou"
    """Validation metric that chooses best.pt; the highest value is best. Any column val/... of metrics.csv, without
    val/; or min loss, where the lowest is best."""
    freeze_encoder_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs in which only the decoder is trained; the encoder, including its BatchNorm, is frozen until then."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop after this many evaluations without improvement."""
    save_every_epochs: Annotated[int, Field(ge=1)] | None = None
    """Also keep the weights every this many epochs, as epoch-10.pt, epoch-20.pt, ..."""
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Stop after this many optimizer steps, if the epochs do not end earlier; the schedule takes it into account."""
    max_hours: Annotated[float, Field(gt=0)] | None = None
    """Stop after this many hours of training, including those before a resume, and evaluate. The schedule does not take
    it into account and ends wherever it is."""
    sync_batchnorm: bool = True
    """With several processes on GPUs: compute BatchNorm statistics over the images of all processes."""
    gather_loss: bool = True
    """With several processes: compute LovaszLoss, and other losses that are not sums over pixels, on the images of all
    processes, which needs memory for their logits; otherwise each process uses its own images."""
    save_every_minutes: Annotated[float, Field(gt=0)] = 10.0
    """Minutes between two saves of last.pt within an epoch; it is always saved at the end of an epoch."""


class Config(Section):
    """A complete experiment."""

    name: str = Field("run", pattern=r"^[\w][\w.-]*$")
    """Name of the experiment: runs are written to <runs_dir>/<name>-1, -2, and so on."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random: weights, order, augmentation."""
    runs_dir: UserPath = Path("runs")
    """Folder in which run folders are created."""
    data: DataConfig
    """What to train on."""
    transforms: TransformsConfig = TransformsConfig()
    """Augmentation."""
    model: ModelConfig = ModelConfig()
    """The network."""
    loss: Annotated[dict[str, LossTerm], Replaced()] = Field(default_factory=lambda: {"CrossEntropyLoss": LossTerm()})
    """A weighted sum: Name: coef, or Name: {coef, from_epoch, arguments}. Losses of segtrain, then smp, then torch.nn,
    or a dotted path to your own. The loss of a file replaces the loss of the files before it."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """The optimizer."""
    schedule: ScheduleConfig | None = ScheduleConfig()
    """The learning rate schedule; null keeps the learning rate constant."""
    train: TrainConfig = TrainConfig()
    """The training."""
    log: LogConfig = LogConfig()
    """What is written and shown."""
    tune: TuneConfig | None = Field(None, exclude=True)
    """A hyperparameter search over this experiment; a training ignores it."""

    @field_validator("loss", mode="before")
    @classmethod
    def _bare_coefficients(cls, loss: Any) -> Any:
        if not isinstance(loss, dict):
            return loss
        if not loss:
            raise ValueError("is empty; list at least one loss, like CrossEntropyLoss: 1.0")
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
                raise MisplacedError(("model", key), f"has {len(given)} numbers for {self.data.channels} channels")
        if min(term.from_epoch for term in self.loss.values()) > 0:
            raise MisplacedError(("loss",), "no term is active in epoch 0; remove from_epoch from at least one")
        return self
