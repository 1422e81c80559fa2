"""Damaged experiments: a configuration, or a line for each mistake."""

import yaml

from segtrain.config.rules import load_config
from segtrain.data.labels import build_decoder
from segtrain.inference.task import Task
from tests.conftest import PROJECT
from tests.fuzz.mutate import VALUES, attack, mutate_bytes, mutate_tree

BASE = (PROJECT / "config.yml").read_text()


def test_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, whole, tree = tmp_path / "config.yml", BASE.encode(), yaml.safe_load(BASE)

    def damage(rng):
        if rng.random() < 0.3:
            changed = mutate_bytes(whole, rng)
        else:
            tree_now = mutate_tree(tree, rng)
            changed = yaml.safe_dump(tree_now if isinstance(tree_now, dict) else {"train": tree_now})
            changed = changed.encode("utf-8", "surrogatepass")
        path.write_bytes(changed)
        return changed

    def use():
        config = load_config(["seed=1"])
        Task.of(config)
        build_decoder(config.data)

    path.write_bytes(whole)
    use()
    attack(250, damage, use, root=tmp_path, most_lines=101)


KEYS = [
    "train.epochs",
    "optimizer.lr",
    "optimizer",
    "loss",
    "loss.DiceLoss.coef",
    "data.classes",
    "data.classes.0.name",
]
KEYS += [
    "name",
    "runs_dir",
    "transforms.train.0",
    "model.decoder_channels",
    "data.format",
    "schedule",
    "log.wandb.tags",
]


TEXTS = [text for text in map(str, VALUES) if not set(text) & set("\0\ud800")]  # which no argument can hold


def test_command_line(monkeypatch):
    monkeypatch.chdir(PROJECT)
    arguments = []

    def damage(rng):
        arguments[:] = []
        for _ in range(rng.choice([1, 2])):
            key = (
                rng.choice(KEYS)
                if rng.random() < 0.8
                else mutate_bytes(rng.choice(KEYS).encode(), rng).decode("latin1")
            )
            arguments.append(f"{key}={rng.choice(TEXTS)}".replace("\0", ""))
        return arguments

    attack(150, damage, lambda: load_config(arguments), root=PROJECT / "tests" / "fuzz", most_lines=101)
