"""Weights & Biases writer, online or offline: never asks a question, never waits without end."""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import wandb

from segtrain.errors import reason_of
from segtrain.files import write_whole
from segtrain.log.wandb_media import GroundTruth, build_class_table, build_confusion, build_predictions
from segtrain.visualize import Panel

INIT_TIMEOUT_SECONDS = 20.0
FINISH_TIMEOUT_SECONDS = 300.0
KEPT_DAYS = 30  # of last.pt, which is for resuming
ENTRY_FILE = "wandb.json"  # in a run folder: the entry of the run, for those that refer to it later
IN_TABLE = re.compile(r"(val|epoch/train)/(dice|precision|recall)/")  # of each class: no charts


@contextmanager
def _letting_go() -> Iterator[None]:
    """Where wandb's own process was killed, forget it: else the end of this one would print a traceback, and the next
    training in it would look for it."""
    try:
        yield
    except ConnectionError:
        with suppress(Exception, SystemExit):
            wandb.teardown()
        raise


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
        run_id: str | None = None,
        resume_step: int | None = None,
        say: Callable[[str], None],
        job_type: str = "train",
    ) -> None:
        """`folder` exists. What `config` leaves out is decided by wandb's environment variables and settings files,
        and where they leave it out too, here."""
        self._folder, self._config, self._say = folder, config, say
        self._settings, self._class_names = resolved_config, class_names
        self._artifact_kinds = {*config.artifacts, *(["best"] if config.registry else [])}
        self._saved: dict[str, tuple[Path, dict[str, Any]]] = {}
        self._ground_truth: dict[str, GroundTruth] = {}
        # An offline artifact waits for `wandb sync` as a copy in wandb's data folder: with the run, not in $HOME.
        self._owns_data_folder = "WANDB_DATA_DIR" not in os.environ
        os.environ.setdefault("WANDB_DATA_DIR", str(folder / "wandb"))
        self._is_joined = wandb.run is not None  # begun by the program around the training, as in a sweep's function
        if self._is_joined:
            self._run = wandb.run
            self._run.config.update(resolved_config, allow_val_change=True)
        else:
            common = {"config": resolved_config, "id": run_id, "resume": "allow", "allow_val_change": True}
            self._run = _start(_choose(config, folder, run_name, job_type) | common, mode, say)
        self.last_step = max(-1 if resume_step is None else resume_step, self._run.step - 1)
        self._run.define_metric("epoch", hidden=True)
        self._run.define_metric("epoch/*", step_metric="epoch")
        monitor = resolved_config.get("train", {}).get("monitor", "")
        self._monitored = f"val/{monitor.removeprefix('min ')}"
        if monitor:
            self._run.define_metric(self._monitored, summary="min" if monitor.startswith("min ") else "max")

    @property
    def run_id(self) -> str:
        return self._run.id

    @_letting_go()
    def describe(self, values: dict[str, Any]) -> None:
        """Add to the configuration what is known once the training is built; note in the run folder where its entry
        is, and in the entry what it was made from."""
        self._run.config.update({"resolved": values}, allow_val_change=True)
        entry = {"id": self.run_id, "project": self._run.project, "entity": self._run.entity, "url": self._run.url}
        if "best" in self._artifact_kinds:
            path = [self._run.entity, self._run.project, f"{self._name_artifact('best')}:best"]
            entry["model"] = "/".join(part for part in path if part)
        write_whole(self._folder / ENTRY_FILE, json.dumps(entry, indent=1) + "\n")
        if self._config.lineage:
            self._use_data(values)
            if weights := self._settings["model"]["weights"]:
                self.use_model(Path(weights))

    def _use_data(self, values: dict[str, Any]) -> None:
        """The dataset as an artifact that refers to its files, which are listed and not read; with it, a digest of
        the names of the samples."""
        data = self._settings["data"]
        roots = data["root"] if isinstance(data["root"], list) else [data["root"]]
        facts = {"format": data["format"], "root": roots, **{key: values[key] for key in ("images", "fingerprint")}}
        try:
            artifact = wandb.Artifact(_as_name(Path(roots[0]).resolve().name), type="dataset", metadata=facts)
            with artifact.new_file("fingerprint.json") as file:
                json.dump(facts["fingerprint"], file)
            for index, root in enumerate(roots):
                artifact.add_reference(Path(root).resolve().as_uri(), name=f"root-{index}", checksum=False)
            # As use_artifact does it, which also waits for the network, and so refuses offline.
            self._run._log_artifact(artifact, aliases=[], is_user_created=True, use_after_commit=True)
        except Exception as error:
            self._say(f"warning: the dataset was not recorded as an input: {reason_of(error)}")

    def use_model(self, path: Path) -> None:
        """Note the artifact of a run folder, or of the one that a checkpoint lies in, as an input of this run: in the
        configuration, and online in its lineage too. A run that has logged none is left out."""
        name = read_entry(path if path.is_dir() else path.parent).get("model")
        if name is None:
            return
        self._run.config.update({"used_model": name})
        try:
            if not self._run.offline:
                self._run.use_artifact(name)
        except Exception as error:
            self._say(f"warning: {name} was not recorded as an input: {reason_of(error)}")

    @_letting_go()
    def write(
        self,
        step: int,
        *,
        values: dict[str, Any],
        panels: Sequence[Panel] = (),
        confusion: tuple | None = None,
        histograms: dict[str, tuple] | None = None,
    ) -> None:
        """One history row, see log.Row. wandb drops a row that is not past the last step, so a late row takes the next
        free one."""
        values = {key: value for key, value in values.items() if key == self._monitored or not IN_TABLE.match(key)}
        values |= {name: wandb.Histogram(np_histogram=counts) for name, counts in (histograms or {}).items()}
        if panels:
            values["predictions"] = build_predictions(panels, self._class_names, self._ground_truth)
        if confusion is not None:
            matrix, picture = confusion
            values |= build_confusion(matrix, picture, self._class_names)
            values["val/classes"] = build_class_table(matrix, self._class_names)
        self.last_step = max(step, self.last_step + 1)
        # Without commit the newest row would stay in memory until the next one, and be lost when the run is killed.
        self._run.log(values, step=self.last_step, commit=True)

    def checkpoint(self, path: Path, kind: str, metadata: dict[str, Any]) -> None:
        """A file was saved. The last one of each kind is uploaded, when the run ends or is stopped."""
        if kind in self._artifact_kinds:
            self._saved[kind] = (path, metadata)

    @_letting_go()
    def finish(self, summary: dict[str, float] | None, *, exit_code: int, reason: str = "") -> None:
        """Upload what is to be kept, and close the run. `reason`: why it has not come to its end."""
        if exit_code and self._config.alert:
            what, level = ("stopped", "WARN") if exit_code > 128 else ("failed", "ERROR")
            self._run.alert(f"{self._run.name} {what}"[-63:], reason, level=level)
        for kind, (path, metadata) in self._saved.items():
            if path.exists():
                self._log_artifact(path, kind, metadata)
        self._run.summary.update(summary or {})
        if not self._is_joined:
            self._run.finish(exit_code=exit_code)
        if self._owns_data_folder:
            os.environ.pop("WANDB_DATA_DIR", None)

    def _log_artifact(self, path: Path, kind: str, metadata: dict[str, Any]) -> None:
        artifact = wandb.Artifact(self._name_artifact(kind), type="model", metadata=metadata)
        artifact.add_file(str(path), name=path.name, skip_cache=True)
        if kind == "latest":
            artifact.ttl = timedelta(days=KEPT_DAYS)
        self._say(f"wandb: {path.name}, {path.stat().st_size / 1e6:.1f} MB, was uploaded as artifact {artifact.name}")
        logged = self._run.log_artifact(artifact, aliases=[kind])
        registry = self._config.registry
        if kind == "best" and registry:
            try:
                if self._run.offline:
                    raise wandb.UsageError("linking needs the network; link it on the page of the artifact")
                self._run.link_artifact(logged.wait(timeout=int(FINISH_TIMEOUT_SECONDS)), registry)
            except Exception as error:
                self._say(f"warning: best.pt was not linked to {registry}: {reason_of(error)}")

    def _name_artifact(self, kind: str) -> str:
        # Two machines may each have a camvid-unet-1 in one project; the run id keeps their versions apart.
        return f"{_as_name(self._run.name or 'run')}-{self.run_id}-{kind}"


def read_entry(folder: Path) -> dict[str, Any]:
    """What a run folder says of its entry in wandb: id, project, entity and url, and, where it logs best.pt, the name
    of that artifact as `model`. Empty where it says nothing."""
    try:
        entry = json.loads((folder / ENTRY_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return entry if isinstance(entry, dict) else {}


def _as_name(text: str) -> str:
    """Of the characters that the name of an artifact may have."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:80]


def _choose(config: Any, folder: Path, run_name: str, job_type: str) -> dict[str, Any]:
    """What wandb.init is told: of what `config` leaves out only that which wandb does not know from elsewhere."""
    given = wandb.setup(settings=wandb.Settings(silent=True)).settings
    return {
        "project": config.project or (None if given.project else "segtrain"),
        "entity": config.entity,
        "group": config.group,
        "tags": list(config.tags) or None,
        "notes": config.notes,
        "name": None if given.run_name else run_name,
        "job_type": None if given.run_job_type else job_type,
        "dir": None if os.environ.get("WANDB_DIR") else str(folder),
        "reinit": "create_new",  # several trainings of one program are as many runs
        "settings": _build_settings(),
    }


def _build_settings() -> Any:
    settings = {"silent": True, "init_timeout": INIT_TIMEOUT_SECONDS, "finish_timeout": FINISH_TIMEOUT_SECONDS}
    # wandb keeps up to 15 seconds of rows in memory; a killed run would then miss rows that its checkpoint covers.
    if "x_transaction_log_flush_interval" in wandb.Settings.model_fields:
        settings["x_transaction_log_flush_interval"] = 0.05
    return wandb.Settings(**settings)


def _start(arguments: dict[str, Any], mode: str, say: Callable[[str], None]) -> Any:
    """Online where that is asked for and possible, else offline; one line says which, and how to upload later."""
    reason = ""
    if mode == "online":
        try:
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
