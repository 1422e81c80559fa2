"""The loop that scores a split."""

import torch

from segtrain.inference.score import Scored, score
from segtrain.inference.task import Task

COLORS = [(0, 0, 0), (90, 90, 90), (200, 200, 200)]
TWO = Task(mode="multiclass", names=["sky", "road"], colors=COLORS[:2], ignore_index=9)
LAYERS = Task(mode="multilabel", names=["wet", "road"], colors=COLORS, thresholds=[0.5, 0.5])


def group(names: str, masks: list, predictions: list) -> dict:
    """Images of one size, as a loader gives them, with what is to be predicted."""
    return {
        "name": list(names),
        "mask": torch.tensor(masks, dtype=torch.uint8),
        "prediction": torch.tensor(predictions),
    }


def run(task: Task, batches: list[list[dict]]) -> tuple[list, list[Scored]]:
    seen: list[Scored] = []

    def predict(batch: dict) -> tuple[torch.Tensor, str]:
        return batch["prediction"], "logits"

    matrix = score(predict, batches, task, device=torch.device("cpu"), see=seen.append)
    return matrix.tolist(), seen


def test_all_groups_are_counted_and_each_image_has_its_matrix():
    first = [
        group("ab", [[[0, 1, 9]], [[1, 1, 1]]], [[[0, 0, 5]], [[1, 1, 0]]]),
        group("c", [[[0], [0]]], [[[1], [0]]]),
    ]
    matrix, seen = run(TWO, [first, [group("d", [[[1]]], [[[1]]])]])
    assert matrix == [[2, 1], [2, 3]]
    assert [scored.batch["name"] for scored in seen] == [["a", "b"], ["c"], ["d"]]
    assert seen[0].matrices.tolist() == [[[1, 0], [1, 0]], [[0, 0], [1, 2]]]
    assert seen[0].mask.dtype == torch.int64 and seen[0].outputs == "logits"


def test_layers_are_counted_each_for_itself():
    matrix, seen = run(LAYERS, [[group("a", [[[[1, 0]], [[1, 255]]]], [[[[1, 1]], [[0, 0]]]])]])
    assert matrix == seen[0].matrices[0].tolist() == [[[0, 1], [0, 1]], [[0, 0], [1, 0]]]
