"""Evaluation: from the flags of the command to the folder that it leaves. Several processes share the images, and the
first one reports."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from segtrain.checkpoint import BEST, find_checkpoint
from segtrain.commands.evaluate.output import output_folder, write_evaluation
from segtrain.commands.evaluate.probabilities import tune
from segtrain.commands.evaluate.report import compute_values, format_report
from segtrain.commands.evaluate.scores import WORST_IMAGES, Scores, score_model, score_predictions
from segtrain.commands.evaluate.source import (
    TRAINED,
    EvaluatedSplit,
    config_in,
    find_split,
    is_override,
    read_data_config,
    require_same_task,
    require_unseen,
    with_data,
)
from segtrain.commands.evaluate.wandb_entry import PICTURED_IMAGES, find_entry, log_evaluation
from segtrain.distributed import rank
from segtrain.errors import ConfigError, count_of
from segtrain.files import write_whole
from segtrain.inference.evaluation import EvaluationInfo
from segtrain.inference.load import thresholds_path
from segtrain.inference.model_files import find_kind
from segtrain.inference.network import TorchNetwork
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from segtrain.inference.task import Task
from segtrain.metrics import class_counts, compute_iou


def evaluate(options: argparse.Namespace, infer: InferOptions) -> Path | None:
    """Evaluate as the parsed arguments of command.py say; `infer` has a default batch size where none was given. The
    folder with the results; None in processes that are not the first."""
    models, overrides = _split_arguments(options)
    members = {model: config_in(model, trust=options.trust) for model in models if find_kind(model) in TRAINED}
    entry = find_entry(options, infer, models, members) if options.wandb else None
    config = with_data(read_data_config(options.config, models, members, trust=options.trust), overrides)
    if options.tune_threshold and config.data.mode == "multiclass":
        raise ConfigError(
            f"--tune-threshold: {models[0]} chooses the most probable of {len(config.data.classes)} classes; "
            f"thresholds are for a single class or for overlapping classes"
        )
    split = find_split(config, options.split)
    with output_folder(options.output, (models or [options.against])[0], options.split) as folder:
        if options.against:
            task, tuned, predictor = Task.of(config), "", None
            chosen = {"numbering": options.numbering, "partial": options.partial}
            scores = score_predictions(options.against, split, task, **chosen)
        else:
            require_unseen(split, members, overrides)
            infer = replace(infer, batch_size=options.batch_size or config.data.images_at_once)
            predictor = Predictor.load(
                *models, device=options.device, precision=options.precision, options=infer, trust=options.trust
            )
            require_same_task(split, predictor.task, models[0])
            if options.tune_threshold and predictor.gives_labels:
                raise ConfigError(
                    "--tune-threshold: a model returns labels, not probabilities; export it without --labels"
                )
            given = {"ignore_index": config.data.ignore_index, "names": config.data.class_names}  # if it names none
            task = predictor.task.model_copy(update=given)
            kept, wanted = PICTURED_IMAGES if options.wandb else WORST_IMAGES, options.tune_threshold
            scores = score_model(predictor, split, task, batch_size=infer.batch_size, tune=wanted, kept=kept)
            tuned = tune_thresholds(scores, predictor, models) if wanted and not rank() else ""
        if rank():
            return None
        values = compute_values(scores, task.names)
        info = note_evaluation(split, task, infer, models=models, predictor=predictor, predictions=options.against)
        head = describe_evaluation(info, split, task, scored=len(scores.names))
        text = "\n\n".join(part for part in (head, format_report(values, task), tuned) if part)
        panels = write_evaluation(folder, text, info, scores, values, task)
        print(f"{text}\n\n{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    if entry is not None:
        log_evaluation(entry, folder, split=split.name, values=values, scores=scores, panels=panels)
    return folder


def _split_arguments(options: argparse.Namespace) -> tuple[list[Path], list[str]]:
    """The models, and what is merged into their configuration."""
    overrides = [argument for argument in options.models if is_override(argument)]
    models = [Path(argument) for argument in options.models if argument not in overrides]
    if options.against and len(models) > 1:
        raise ConfigError("--against scores one folder of predictions; give exactly one run, for its data")
    if not models and not (options.against and options.config):
        raise ConfigError("give a model: a run folder, a checkpoint or an exported file")
    return models, overrides


def tune_thresholds(scores: Scores, predictor: Predictor, models: Sequence[Path]) -> str:
    """Find thresholds and write them beside the checkpoint; return the lines that report them."""
    task = predictor.task
    foreground = slice(-task.outputs, None)  # a binary task has its background in front
    before = compute_iou(class_counts(scores.matrix))[foreground]
    tuned = tune(scores.histogram, names=task.names[foreground], thresholds=task.thresholds, before=before)
    if len(models) > 1 or find_kind(models[0]) not in TRAINED:
        flag = f"--threshold {','.join(f'{item.threshold:g}' for item in tuned)}"
        where = f"not saved, because they do not belong to a single run; use them with {flag}"
    else:
        path = thresholds_path(find_checkpoint(models[0], BEST))
        epoch = predictor.networks[0].trained.get("epoch")  # of the checkpoint that they are for
        content = {"epoch": epoch, "thresholds": {item.name: item.threshold for item in tuned}}
        write_whole(path, json.dumps(content, indent=2) + "\n")
        where = f"written to {path}, which every command reads; delete it to use 0.5 again"
    width = max(len(item.name) for item in tuned)
    lines = [
        f"{item.name:{width}}  threshold {item.threshold:.3f}, IoU {item.before:.4f} before, {item.after:.4f} after"
        for item in tuned
    ]
    lines += [where, "The scores above use the previous thresholds. The IoU after tuning is optimistic: the thresholds"]
    return "\n".join(lines) + " were chosen on the same images."


def describe_evaluation(info: EvaluationInfo, split: EvaluatedSplit, task: Task, *, scored: int) -> str:
    """The head of the report: what is scored, on what, and how."""
    data = split.config.data
    what = f"the predictions in {info.predictions}" if info.predictions else " + ".join(info.models)
    if scored < len(split.samples):
        what += f" (--partial: only {count_of(scored, 'image')})"
    roots = " and ".join(map(str, data.roots))
    images = count_of(len(split.samples), "image")
    lines = [f"{what}, on the {images} of the {split.name} split of {roots} ({data.format})"]
    applied = replace(info.options, thresholds=None).describe()
    if any(threshold != 0.5 for threshold in task.thresholds):
        thresholds = ",".join(f"{threshold:g}" for threshold in task.thresholds)
        applied += f"{', ' if applied else ''}thresholds {thresholds}"
    if applied:
        lines.append(f"applied with {applied}")
    if info.split == "train" and info.predictions is None:
        lines.append("the model was trained on these images: the scores do not show how well it does on others")
    return "\n".join(lines)


def note_evaluation(
    split: EvaluatedSplit,
    task: Task,
    infer: InferOptions,
    *,
    models: Sequence[Path],
    predictor: Predictor | None,
    predictions: Path | None,
) -> EvaluationInfo:
    """What is scored, on what, and how, for commands that read the folder."""
    first = predictor and predictor.networks[0]
    return EvaluationInfo(
        models=[] if predictions else [str(model) for model in models],
        predictions=str(predictions) if predictions else None,
        epoch=first.trained.get("epoch") if isinstance(first, TorchNetwork) else None,
        split=split.name,
        mode=task.mode,
        names=task.names,
        options=infer,
        seed=split.config.seed,
        data=split.config.data.model_dump(mode="json"),
    )
