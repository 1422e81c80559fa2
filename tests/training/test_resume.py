from segtrain.training.resume import list_changes


def test_changes_are_listed_by_their_keys() -> None:
    before = {"seed": 0, "optimizer": {"lr": 1e-3, "betas": [0.9, 0.99]}, "schedule": None, "name": "1e-3", "old": 1}
    now = {"seed": 0, "optimizer": {"lr": 5e-4, "betas": [0.9, 0.9]}, "schedule": {"name": "StepLR"}, "name": "a: b"}
    assert list_changes(before, now) == [
        "optimizer.lr: 0.001 -> 0.0005",
        "optimizer.betas: [0.9, 0.99] -> [0.9, 0.9]",
        "name: '1e-3' -> 'a: b'",
        "old: 1 -> null",
        "schedule.name: null -> StepLR",
    ]


def test_a_long_value_is_shortened() -> None:
    (line,) = list_changes({"classes": []}, {"classes": [f"class{index}" for index in range(99)]})
    assert line.startswith("classes: [] -> [class0, class1") and line.endswith("...") and len(line) < 80
