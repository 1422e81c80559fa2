"""Auxiliary head: logits from an encoder's features, for the loss alone.

It makes the features useful by themselves (Zhao et al. 2017, "Pyramid scene parsing network", section 3.3).
"""

from torch import Tensor, nn


class AuxiliaryHead(nn.Module):
    """A fully convolutional head, layer for layer torchvision's FCNHead, on the second-to-last features that its
    encoder gave in training.

    Shape:
        - logits: (N, outputs, h, w), the height and width of the features.
    """

    def __init__(self, encoder: nn.Module, outputs: int):
        super().__init__()
        channels = encoder.out_channels[-2]
        hidden = max(channels // 4, 1)
        self.head = nn.Sequential(
            nn.Conv2d(channels, hidden, 3, padding=1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(hidden, outputs, 1),
        )
        self.features: Tensor | None = None
        encoder.register_forward_hook(self._keep)  # a method, so that a copy of the model has its own

    def _keep(self, encoder: nn.Module, images: tuple, features: list[Tensor] | tuple) -> None:
        if self.training:
            # Plain transformers give their prefix tokens behind the features.
            features = features[0] if isinstance(features, tuple) else features
            self.features = features[-2]

    def forward(self) -> Tensor:
        """Logits of the batch that the encoder has just seen."""
        features, self.features = self.features, None  # not kept until the next batch
        return self.head(features)
