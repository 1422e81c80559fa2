"""Weights & Biases writer, online or offline: never asks a question, never waits without end."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import wandb
from PIL import Image

from segtrain.errors import reason_of
from segtrain.visualize import Panel

INIT_TIMEOUT_SECONDS = 20.0
FINISH_TIMEOUT_SECONDS = 300.0
# The chart is a table of classes squared rows that the browser draws; past this size the picture alone is readable.
MAX_CHART_CLASSES = 50


class WandbWriter:
    """One wandb run. Every method may raise: the caller decides what a failure means.

    The x axis of every chart is the train step (wandb's own `step`), so that losses per step and validation per
    epoch share one axis and a resumed run goes on where it was; `epoch` is a value of each epoch's row, and the
    epoch means of the training (`epoch/...`) are drawn against it.
    """

    def __init__(
        self,
        folder: Path,
        config: Any,
        *,
        mode: str,
        run_name: str,
        resolved_config: dict[str, Any],
        class_names: list[str],
        run_id: str | None,
        resume_step: int | None,
        say: Callable[[str], None],
    ) -> None:
        self._class_names = class_names
        self._artifact_kinds = set(config.artifacts)
        self._best: tuple[Path, dict[str, Any]] | None = None
        self.last_step = -1 if resume_step is None else resume_step
        # An offline artifact waits for `wandb sync` as a copy in wandb's data folder: with the run, not in $HOME.
        os.environ.setdefault("WANDB_DATA_DIR", str(folder / "wandb"))
        arguments = {
            "project": config.project,
            "entity": config.entity,
            "group": config.group,
            "tags": list(config.tags),
            "notes": config.notes,
            "name": run_name,
            "dir": str(folder),
            "config": resolved_config,
            "id": run_id,
            "resume": "allow",
            "allow_val_change": True,
            "reinit": "create_new",  # whoever calls a training from Python may have a run of their own
            "settings": _build_settings(),
        }
        self._run = _start(arguments, mode, say)
        self._run.define_metric("epoch", hidden=True)
        self._run.define_metric("epoch/*", step_metric="epoch")

    @property
    def run_id(self) -> str:
        return self._run.id

    def write(
        self, step: int, *, values: dict[str, Any], panels: Sequence[Panel] = (), confusion: tuple | None = None
    ) -> None:
        """One history row, see log.Row. wandb drops a row that is not past the last step, so a late row takes the next
        free one."""
        values = dict(values)
        for panel in panels:
            values[f"predictions/{panel.name}"] = self._build_overlay(panel)
            values[f"panels/{panel.name}"] = _to_image(panel.panel, panel.name)
        if confusion is not None:
            values |= self._build_confusion(*confusion)
        self.last_step = max(step, self.last_step + 1)
        # Without commit the newest row would stay in memory until the next one, and be lost when the run is killed.
        self._run.log(values, step=self.last_step, commit=True)

    def checkpoint(self, path: Path, kind: str, metadata: dict[str, Any]) -> None:
        """'latest' goes out at once, for resuming elsewhere; of 'best' only the last one does, when the run ends."""
        if kind not in self._artifact_kinds:
            return
        if kind == "best":
            self._best = (path, metadata)
        else:
            self._log_artifact(path, kind, metadata)

    def finish(self, summary: dict[str, float] | None, *, exit_code: int) -> None:
        if self._best is not None and self._best[0].exists():
            self._log_artifact(self._best[0], "best", self._best[1])
        self._run.summary.update(summary or {})
        self._run.finish(exit_code=exit_code)

    def _build_overlay(self, panel: Panel) -> Any:
        """The photo with its masks as layers that are switched on and off in the browser."""
        count = len(self._class_names)
        if count > 255:  # wandb stores masks as bytes, and one value is taken by the ignored pixels
            return _to_image(panel.image, panel.name)
        labels = dict(enumerate(self._class_names)) | {count: "ignored"}
        layers = {"prediction": panel.prediction, "ground_truth": panel.mask}
        masks = {
            name: {
                "mask_data": np.where((mask >= 0) & (mask < count), mask, count).astype(np.uint8),
                "class_labels": labels,
            }
            for name, mask in layers.items()
            if mask is not None
        }
        return _to_image(panel.image, panel.name, masks=masks)

    def _build_confusion(self, matrix: np.ndarray, picture: np.ndarray | None) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if picture is not None:
            values["val/confusion_picture"] = wandb.Image(Image.fromarray(picture))
        if matrix.ndim == 2 and len(matrix) <= MAX_CHART_CLASSES:
            columns = ["Actual", "Predicted", "nPredictions"]
            names = self._class_names
            data = [[names[i], names[j], int(count)] for (i, j), count in np.ndenumerate(matrix)]
            values["val/confusion"] = wandb.plot_table(
                vega_spec_name="wandb/confusion_matrix/v1",
                data_table=wandb.Table(columns=columns, data=data),
                fields={column: column for column in columns},
                string_fields={"title": "Confusion matrix, in pixels"},
            )
        return values

    def _log_artifact(self, path: Path, kind: str, metadata: dict[str, Any]) -> None:
        # Two machines may each have a camvid-unet-1 in one project; the run id keeps their versions apart.
        name = re.sub(r"[^A-Za-z0-9._-]", "-", self._run.name or "run")[:80]
        artifact = wandb.Artifact(f"{name}-{self._run.id}-{kind}", type="model", metadata=metadata)
        artifact.add_file(str(path), name=path.name, skip_cache=True)
        self._run.log_artifact(artifact, aliases=[kind])


def _build_settings() -> Any:
    settings = {
        "silent": True,
        "console": "off",
        "init_timeout": INIT_TIMEOUT_SECONDS,
        "finish_timeout": FINISH_TIMEOUT_SECONDS,
    }
    # wandb keeps up to 15 seconds of rows in memory; a killed run would then miss rows that its checkpoint covers.
    if "x_transaction_log_flush_interval" in wandb.Settings.model_fields:
        settings["x_transaction_log_flush_interval"] = 0.05
    return wandb.Settings(**settings)


def _start(arguments: dict[str, Any], mode: str, say: Callable[[str], None]) -> Any:
    """Online where that is asked for and possible, else offline; one line says which, and how to upload later."""
    reason = ""
    if mode == "online":
        try:
            wandb.setup(settings=wandb.Settings(silent=True))
            if wandb.login(prompt=False, verify=False):
                run = wandb.init(mode="online", **arguments)
                say(f"wandb: {run.url}")
                return run
            reason = " (no API key; `wandb login` sets one)"
        except Exception as error:
            reason = f" ({reason_of(error)})"
            # The run that did not start still holds its id in wandb's service; without this the next init is refused.
            wandb.teardown()
    run = wandb.init(mode="offline", **arguments)
    say(f"wandb: offline{reason}; upload with: wandb sync {Path(run.dir).parent}")
    return run


def _to_image(image: np.ndarray, caption: str, *, masks: dict[str, Any] | None = None) -> Any:
    """JPEG, since a photo of 2048 x 1024 takes half a second to compress as PNG; masks stay PNG."""
    return wandb.Image(Image.fromarray(image), caption=caption, masks=masks, file_type="jpg")
