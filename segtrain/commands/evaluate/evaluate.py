"""From the command line to the folder of an evaluation."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from segtrain.checkpoint import BEST, find_checkpoint
from segtrain.commands.evaluate import output
from segtrain.commands.evaluate.counts import iou_of
from segtrain.commands.evaluate.measure import explained_memory, score_model, score_predictions
from segtrain.commands.evaluate.pictures import draw_calibration, draw_panel, draw_sheet
from segtrain.commands.evaluate.report import (
    Value,
    build_evaluation_csv,
    build_images_csv,
    compute_values,
    format_report,
)
from segtrain.commands.evaluate.scoring import Scores
from segtrain.commands.evaluate.source import (
    TRAINED,
    Subject,
    config_in,
    find_subject,
    is_override,
    read_named_config,
    require_same_task,
    require_unseen,
    with_data,
)
from segtrain.commands.evaluate.thresholds import describe_tuned, tune, write_thresholds
from segtrain.commands.evaluate.wandb_entry import find_entry, log_evaluation
from segtrain.config.schema import Config
from segtrain.errors import ConfigError
from segtrain.files import write_whole
from segtrain.inference.load import thresholds_path
from segtrain.inference.model_files import find_kind
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from segtrain.inference.task import Task
from segtrain.plots import plot_confusion


def evaluate(options: argparse.Namespace, infer: InferOptions) -> None:
    """Evaluate as the parsed arguments of command.py say; `infer` has another batch size where none was given."""
    overrides = [argument for argument in options.models if is_override(argument)]
    models = [Path(argument) for argument in options.models if argument not in overrides]
    if options.against and len(models) > 1:
        raise ConfigError("--against scores one folder of predictions; name one run, for its data")
    if not models and not (options.against and options.config):
        raise ConfigError("name a model: a run folder, a checkpoint or an exported file")
    entry = find_entry(models[0]) if options.wandb else None
    members = {model: config_in(model) for model in models if find_kind(model) in TRAINED}
    config = with_data(_data_config(options, models, members), overrides)
    if options.tune_threshold and config.data.mode == "multiclass":
        raise ConfigError(
            f"--tune-threshold: {models[0]} tells {len(config.data.classes)} classes apart by the largest probability; "
            "thresholds are for one class, or for classes that overlap"
        )
    subject = find_subject(config, options.split)
    source = models[0] if models else options.against
    with output.output_folder(options.output, source, options.split) as folder:
        if options.against:
            task, speed, tuned = Task.of(config), None, ""
            scores = score_predictions(options.against, subject, task)
        else:
            require_unseen(subject, members, overrides)
            batch_size = options.batch_size or config.data.eval_batch_size or config.data.batch_size
            infer = replace(infer, batch_size=batch_size)
            predictor = load_predictor(models, subject, infer, options)
            task = predictor.task
            if options.tune_threshold and predictor.gives_labels:
                raise ConfigError(
                    "--tune-threshold: a model gives labels, not probabilities; export it without --labels"
                )
            with explained_memory(batch_size):
                scores, speed = score_model(predictor, subject, batch_size=batch_size, tune=options.tune_threshold)
            tuned = tune_thresholds(scores, predictor, models) if options.tune_threshold else ""
        values = compute_values(scores, task.names, speed)
        head = describe(subject, models, options, infer, task)
        text = "\n\n".join(part for part in (head, format_report(values, task), tuned) if part)
        panels = write_all(folder, text, scores, values, task, subject)
        print(f"{text}\n\n{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    if entry is not None:
        log_evaluation(
            entry, folder, split=subject.split, values=values, names=task.names, scores=scores, panels=panels
        )


def _data_config(options: argparse.Namespace, models: Sequence[Path], members: dict[Path, Config]) -> Config:
    if options.config is not None:
        return read_named_config(options.config)
    if models[0] not in members:
        raise ConfigError(
            f"{models[0]}: an exported file does not say where the images are; name the run or the experiment that "
            "does, like --config runs/street-1"
        )
    return members[models[0]]


def load_predictor(
    models: Sequence[Path], subject: Subject, infer: InferOptions, options: argparse.Namespace
) -> Predictor:
    """The models as one predictor. Raises CheckpointError where they do not go with the data or with one another."""
    predictor = Predictor.load(
        *models, device=options.device, precision=options.precision, options=infer, trust=options.trust
    )
    require_same_task(subject, predictor.task, models[0])
    return predictor


def tune_thresholds(scores: Scores, predictor: Predictor, models: Sequence[Path]) -> str:
    """Find thresholds and keep them beside the checkpoint; what there is to say of them."""
    task = predictor.task
    chosen = slice(-task.outputs, None)  # a binary task has its background in front
    before = iou_of(scores.regions.sum(axis=0))[chosen]
    tuned = tune(scores.histogram, names=task.names[chosen], thresholds=task.thresholds, before=before)
    flag = f"--threshold {','.join(f'{item.threshold:g}' for item in tuned)}"
    if len(models) > 1 or find_kind(models[0]) not in TRAINED:
        where = f"written nowhere, since they are of no single run; take them with {flag}"
    else:
        path = thresholds_path(find_checkpoint(models[0], BEST))
        write_thresholds(path, tuned, epoch=predictor.networks[0].trained.get("epoch"))
        where = f"written to {path}, where every command finds them; delete it to take 0.5 again"
    return (
        f"{describe_tuned(tuned)}\n{where}\nThe scores above are with the thresholds before. Those after are "
        "optimistic: they are of the very images that the thresholds were chosen by."
    )


def describe(
    subject: Subject, models: Sequence[Path], options: argparse.Namespace, infer: InferOptions, task: Task
) -> str:
    """What is scored, on what, and how, in a line or two."""
    data = subject.config.data
    what = f"the predictions in {options.against}" if options.against else " + ".join(map(str, models))
    roots = " and ".join(map(str, data.roots))
    lines = [f"{what}, on the {len(subject.samples)} images of the {subject.split} split of {roots} ({data.format})"]
    default, changed = InferOptions(batch_size=infer.batch_size), []
    for key in ("tile_px", "overlap", "scales", "flip", "vote", "weights"):
        value = getattr(infer, key)
        if value != getattr(default, key):
            shown = ",".join(f"{item:g}" for item in value) if isinstance(value, tuple) else value
            changed.append(f"{key} {shown}")
    if any(threshold != 0.5 for threshold in task.thresholds):
        changed.append(f"thresholds {','.join(f'{threshold:g}' for threshold in task.thresholds)}")
    if changed:
        lines.append(f"applied with {', '.join(changed)}")
    if subject.split == "train" and not options.against:
        lines.append("these images were trained on: the scores say what was learnt by heart")
    return "\n".join(lines)


def write_all(folder: Path, text: str, scores: Scores, values: dict[str, Value], task: Task, subject: Subject) -> list:
    """Write the files of an evaluation; the panels of the worst images, HWC uint8 RGB. Raises DataError."""
    panels = [draw_panel(shown, task, ignore_index=subject.decoder.ignore_index) for shown in scores.worst]
    write_whole(folder / output.TABLE, text + "\n")
    write_whole(folder / output.NUMBERS, build_evaluation_csv(values))
    write_whole(folder / output.IMAGES, build_images_csv(scores, task.names))
    output.write_picture(folder / output.SHEET, lambda path: draw_sheet(scores.worst, panels, path))
    output.write_picture(folder / output.CONFUSION, lambda path: plot_confusion(scores.matrix, task.names, path))
    if scores.calibration is not None:
        output.write_picture(folder / output.CALIBRATION, lambda path: draw_calibration(scores.calibration, task, path))
    else:
        (folder / output.CALIBRATION).unlink(missing_ok=True)  # that of the evaluation that this one replaces
    return panels
