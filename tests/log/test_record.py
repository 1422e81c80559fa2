import json

import pytest

from segtrain.checkpoint import lock_run
from segtrain.errors import CheckpointError
from segtrain.log.record import FAILED, FINISHED, RUNNING, STOPPED, read_record


def test_a_finished_run(trained) -> None:
    record = read_record(trained)
    assert record.state == FINISHED and record.config.name == "street"
    assert record.best["epoch"] == 1 and record.monitor == "val/miou"
    assert record.summary["best/val/miou"] == record.summary["best/score"] == pytest.approx(record.best["val/miou"])
    assert record.summary["epochs"] == 1 and record.summary["seconds"] > 0 and record.summary["parameters"] > 10_000


def test_states(kept) -> None:
    with lock_run(kept):
        assert read_record(kept).state == RUNNING
    (kept / "summary.json").unlink()
    assert read_record(kept).state == STOPPED
    (kept / "last.pt").unlink()
    assert read_record(kept).state == FAILED


def test_the_best_is_the_lowest_where_it_is_monitored_so(kept) -> None:
    (kept / "config.yml").write_text((kept / "config.yml").read_text().replace("monitor: miou", "monitor: min loss"))
    (kept / "metrics.csv").write_text("epoch,val/loss\n1,0.5\n2,0.25\n3,\n4,0.75\n")
    assert read_record(kept).best["epoch"] == 2
    (kept / "metrics.csv").write_text("epoch,val/loss\n1,\n")
    assert read_record(kept).best is None
    (kept / "metrics.csv").unlink()
    assert read_record(kept).best is None


def test_resuming_takes_the_summary_away_until_the_end(kept, main) -> None:
    assert main("train.epochs=2", resume=kept) == 0
    assert json.loads((kept / "summary.json").read_text())["epochs"] == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.yml", "", "config.yml: cannot be read: "),
        ("config.yml", "name: [", "config.yml"),
        ("metrics.csv", "", "metrics.csv: cannot be read: No columns to parse from file"),
        ("metrics.csv", "a,b\n1,2", "metrics.csv: cannot be read: is not a table of numbers with a column epoch"),
        ("metrics.csv", "epoch,val/miou\n1,much", "metrics.csv: cannot be read: is not a table of numbers"),
        ("metrics.csv", 'a,b\n"1', "metrics.csv: cannot be read: "),
        ("summary.json", "[]", "summary.json: cannot be read: is not a mapping"),
        ("summary.json", "{", "summary.json: cannot be read: "),
    ],
)
def test_what_cannot_be_read_is_named(kept, name, content, message) -> None:
    (kept / name).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_record(kept)


def test_another_folder(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="is not a run folder; it has no config"):
        read_record(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        read_record(tmp_path / "missing")
