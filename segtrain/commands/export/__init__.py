"""Exports: models in the forms of other runtimes, each compared with the Predictor before it is kept.

`forms.py` has a row in FORMS for each form, and `--to FORM` is the module of that name here (- becomes _). It has

- `export(network: TorchNetwork, path: Path, options: ExportOptions) -> None`: write `path`. Its folder is an empty one
  of its own: what lies in there afterwards is moved together, once the comparison has passed. The network is
  on the CPU in float32; it may be changed only as a copy. Warnings and chatter of libraries are silenced here. Raises
  ExportError in one line that says what to write instead.

A form that is a folder around a file of another form (`space`, `triton`) names that file in FORMS: it is what is
compared, and what lies around it stays where a user changed it. For the others, the module of the same name in
segtrain/inference/runtimes runs the form. Each form carries the JSON of a `Note` under the key "segtrain", and "names"
and "colors" for others to read.
"""
