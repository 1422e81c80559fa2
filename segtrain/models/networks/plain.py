"""Plain transformers of timm as encoders: one resolution, from the patches to the last block."""

from segmentation_models_pytorch.encoders.timm_vit import TimmViTEncoder
from torch import Tensor, nn

from segtrain.models.encoder import any_size


class PlainEncoder(TimmViTEncoder):
    """smp's encoder for DPT, but for images of any size whose sides are multiples of the patch, with timm's last norm
    (whose output is what DINO's linear probes see), and without the classifier.

    Its forward gives a list: features at a quarter, a half, three quarters and the end of its blocks, with
    `out_channels` channels, all at 1/`output_stride` of the image.
    """

    def __init__(self, name: str, weights: str | bool | None, in_channels: int):
        if not name.startswith("tu-"):
            raise ValueError("it needs a plain transformer of timm, like tu-vit_small_patch16_224")
        super().__init__(
            name[3:], pretrained=weights is not None, in_channels=in_channels, **any_size(name, plain=True)
        )
        self.model.prune_intermediate_layers(self._output_indices, prune_norm=False)
        if hasattr(self.model, "neck"):
            self.model.neck = nn.Identity()  # what SAM has instead of the norm, with fewer channels

    def forward(self, images: Tensor) -> list[Tensor]:
        """See the class."""
        return self.model.forward_intermediates(
            images, indices=self._output_indices, norm=True, intermediates_only=True
        )
