"""A stand-in for `python -m segtrain train --run-folder FOLDER LAYERS`, which does the same to the run folder within a
second. By `log.wandb.notes` the experiment says what becomes of it: fails, killed, slow, stubborn; otherwise it comes
to its end.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

from segtrain.config.rules import load_config
from segtrain.config.tree import dump_yaml

at = sys.argv.index("--run-folder") + 1
folder, config = Path(sys.argv[at]), load_config(sys.argv[at + 1 :])
notes, seen = config.log.wandb.notes, ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "PYTHONUNBUFFERED")
print(folder.name, *(os.environ.get(name) for name in seen))


def stop(*_: object) -> None:
    print("stopped and saved")
    sys.exit(143)


folder.mkdir(parents=True, exist_ok=True)
try:
    lock = FileLock(folder / ".lock", blocking=False).acquire()
except Timeout:
    print("another process trains in it")
    sys.exit(2)
(folder / "config.yml").write_text(dump_yaml(config.model_dump(mode="json")), encoding="utf-8")
if notes == "fails":
    print("training stopped at step 1: loss is nan\n\n")
    sys.exit(2)
signal.signal(signal.SIGTERM, signal.SIG_IGN if notes == "stubborn" else stop)
table = folder / "metrics.csv"
rows = table.read_text().splitlines() if table.exists() else ["epoch,step"]
for epoch in range(len(rows), config.train.epochs + 1):
    rows.append(f"{epoch},{epoch}")
    table.write_text("\n".join(rows) + "\n")
    (folder / "last.pt").touch()
    if notes == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60 if notes in ("slow", "stubborn") else 0.01)
summary = {"best/score": (config.seed + config.data.fold) / 10, "epochs": config.train.epochs, "seconds": 1.0}
(folder / "summary.json").write_text(json.dumps(summary))
