"""Models in the formats of other runtimes, each compared with the Predictor before it is called done.

`command.py` does what all targets share; `--to TARGET` is the module of that name here (- becomes _). It imports what
it REQUIRES inside of functions, and has:

- `NAME`: the name of the file or folder in the run folder, like "model.onnx".
- `PRECISIONS`: those of "fp32", "fp16" and "int8" that it can be written in.
- `FIXED`: True where the graph takes images of one size only; options.size is then always given.
- `REQUIRES`: (extra of segtrain, modules that it brings), or None: looked for before anything is done.
- `export(network: TorchNetwork, path: Path, options: ExportOptions) -> None`: write `path`. Its folder is an empty one
  of its own: what lies in there afterwards is moved into place together, once the comparison is passed. The network is
  on the CPU in float32; it may be changed only as a copy. Warnings and chatter of libraries are silenced here. Raises
  ExportError in one line that says what to write instead.
- `load(path: Path, *, device: torch.device, precision: str | None) -> Network`: an ExportedNetwork in general. Raises
  CheckpointError for what is damaged or not ours, ConfigError where a library, device or precision is not there.
- `keep_edited(draft: Path, path: Path) -> None`, optional: take out of a draft what is to stay as it is in a folder
  that is there already, and say so.
- `publish(path: Path, options: ExportOptions) -> None`, optional: what is left to do once `path` is in its place.

Graphs take images (N, C, H, W) of 0..255, uint8, or float32 where task.scale is set, and give what `Graph` says. Each
form carries the JSON of a `Note` under the key "segtrain", and "names" and "colors" for others to read.
"""
