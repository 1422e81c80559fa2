"""Networks. `model.name` is looked up in networks/, which segtrain.config.networks lists, and in smp.

A network is a module that takes normalized images (N, C, H, W) whose sides are multiples of its stride, and has

- `encoder`: the module that pretrained weights are loaded into, that `model.freeze` freezes and whose learning rate
  `optimizer.encoder_lr_factor` scales; None, or no such attribute, where there is none;
- `stride`: what the sides of an image must be multiples of; where it is not stated, it follows from the encoder;
- `logits_stride`: 4 where its logits are a quarter of the image's height and width; 1 where it is not stated; no whole
  number for some patches of 14 pixels;
- `aux`: the module that makes its auxiliary outputs, if it has some. It is set to None where nobody wants them: outside
  a training, and where `model.aux` is 0;
- `takes_auxiliary_head`: True where it gets the common auxiliary head (auxiliary.py) beside what `aux` makes; False
  where it is not stated, and a network without `aux` gets one anyway;
- `is_cascade`: True where auxiliary logits are compared with the mask at their own size, not enlarged to that of the
  image; False where it is not stated;
- `further_outputs`: the names of outputs that are not logits of pixels, which losses of their own take.

It gives logits (N, classes, H / logits_stride, W / logits_stride). In training it may give a list: these logits, behind
them auxiliary ones (N, classes, h, w) of any height and width, and dicts of further outputs:

- `presence` (N, classes): logits of whether a class is in the image, for SELoss;
- `edges` (N, 1, h, w): logits of whether a pixel is on a border between classes, for EdgeLoss and DetailLoss;
- `queries`, a dict of logits `classes` (N, Q, classes + 1), the last for no object, and `masks` (N, Q, h, w), of maps
  that cover the image: for MaskMatchingLoss.

`SegmentationModel` (model.py) wraps a network: it normalizes, pads, enlarges and crops. Nothing else in segtrain looks
into a network, but `export --to hub`, which takes those of smp alone.
"""
