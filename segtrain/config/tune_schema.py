"""The `tune` section: what a search varies, and how often."""

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from segtrain.config.section import Section
from segtrain.config.tree import dump_yaml

Finite = Annotated[float, Field(allow_inf_nan=False)]


class TuneRange(Section):
    """Numbers from low to high, both included; or a list of choices, which may be written alone."""

    low: Finite | None = None
    """Smallest value."""
    high: Finite | None = None
    """Largest value."""
    log: bool = False
    """Draw evenly over the logarithm: for what matters by its factor, like a learning rate."""
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Distance between two values, counted from low. Arguments of the libraries take whole numbers only from a range
    with a whole step; declared keys know what they take."""
    choices: Annotated[list[Any], Field(min_length=2)] | None = None
    """The values themselves, whatever they are: words, numbers, lists, null."""

    @model_validator(mode="after")
    def _is_a_range(self) -> "TuneRange":
        ends = [key for key in ("low", "high") if getattr(self, key) is not None]
        if self.choices is not None:
            if ends or self.log or self.step:
                raise ValueError("choices stand alone; take low, high, log and step out")
            return self
        if len(ends) < 2:
            raise ValueError("write {low: 1e-4, high: 1e-2}, or a list of choices like [4, 8, 16]")
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log: low must be above 0, not {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude one another; write one of them")
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
    """A search over the experiment: `python -m segtrain tune`. A training ignores it."""

    trials: Annotated[int, Field(ge=1)] = 20
    """Trainings in all. The first is the experiment as it is written, where its values lie in the ranges."""
    ranges: Annotated[dict[str, TuneRange], Field(min_length=1)]
    """What varies: any key as `key=value` has it, like optimizer.lr or loss.DiceLoss, with {low, high, log, step} or a
    list of choices."""

    @field_validator("ranges", mode="before")
    @classmethod
    def _bare_choices(cls, ranges: Any) -> Any:
        if not isinstance(ranges, dict):
            return ranges
        return {key: {"choices": item} if isinstance(item, list) else item for key, item in ranges.items()}
