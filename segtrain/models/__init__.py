"""Networks. `model.name` is looked up here, then in smp.

A network is a module that takes normalised images (N, C, H, W) whose sides are multiples of its stride, and has

- `encoder`: the module that pretrained weights are loaded into, that `model.freeze` freezes and whose learning rate
  `optimizer.encoder_lr_factor` scales; None, or no such attribute, where there is none;
- `stride`: what the sides of an image must be multiples of; smp's networks lack it, and it follows from their encoder;
- `logits_stride`: 4 where its logits are a quarter of the image's height and width; 1 where it is not stated;
- `aux`: the module that makes its auxiliary outputs, if it has some. It is set to None where nobody wants them: outside
  a training, and where `model.aux` is 0.

It gives logits (N, classes, H / logits_stride, W / logits_stride); in training it may give a list, these logits first
and auxiliary ones of any height and width behind them. `SegmentationModel` (model.py) wraps a network: it
normalises, pads, enlarges and crops. Nothing else in segtrain looks into a network, but `export --to hub`, which takes
those of smp alone.
"""
