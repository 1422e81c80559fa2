"""Networks that `model.name` may name: where the code of each is, its paper, and what it is good for.

A row without a module is an architecture of segmentation-models-pytorch. The class of any other has the row's name and
lies in segtrain/models/networks/; a row and its module can be deleted together.
"""

from typing import NamedTuple

PYRAMID, DILATED, REAL_TIME = "pyramid decoders", "dilated", "real-time"
STAND_ALONE, TRANSFORMERS = "stand-alone", "transformers"
GROUPS = {
    PYRAMID: "with any encoder that has a pyramid of features",
    DILATED: "with an encoder that can be dilated; with any other and encoder_output_stride: 32",
    REAL_TIME: "on any encoder, or whole networks",
    STAND_ALONE: "whole networks, without an encoder",
    TRANSFORMERS: "on plain transformers of timm, like tu-vit_small_patch16_224",
}


class Row(NamedTuple):
    """A network, as `python -m segtrain models` lists it."""

    group: str
    """One of GROUPS."""
    module: str
    """Module of segtrain.models.networks, or "" for one of smp's."""
    paper: str
    """First author and year."""
    link: str
    """Number on arXiv, or DOI."""
    good_for: str
    """One phrase."""

    @property
    def url(self) -> str:
        """Where the paper is."""
        return f"https://doi.org/{self.link}" if "/" in self.link else f"https://arxiv.org/abs/{self.link}"


NETWORKS = {
    "Unet": Row(PYRAMID, "", "Ronneberger 2015", "1505.04597", "the first choice: fine borders, little data"),
    "UnetPlusPlus": Row(PYRAMID, "", "Zhou 2018", "1807.10165", "small structures, at three times the work of Unet"),
    "MAnet": Row(PYRAMID, "", "Fan 2020", "10.1109/ACCESS.2020.3025372", "medical images: Unet with attention"),
    "Linknet": Row(PYRAMID, "", "Chaurasia 2017", "1707.03718", "a Unet that adds instead of joining: fast"),
    "FPN": Row(PYRAMID, "", "Kirillov 2019", "1901.02446", "objects of all sizes, fast"),
    "UPerNet": Row(PYRAMID, "", "Xiao 2018", "1807.10221", "the usual decoder of Swin and ConvNeXt"),
    "Segformer": Row(PYRAMID, "", "Xie 2021", "2105.15203", "a small decoder, made for mit encoders"),
    "PSPNet": Row(PYRAMID, "", "Zhao 2017", "1612.01105", "the first half of an encoder: fast and coarse"),
    "FCN32s": Row(PYRAMID, "fcn_skips", "Long 2015", "1411.4038", "a baseline to compare with"),
    "FCN16s": Row(PYRAMID, "fcn_skips", "Long 2015", "1411.4038", "a baseline to compare with"),
    "FCN8s": Row(PYRAMID, "fcn_skips", "Long 2015", "1411.4038", "a baseline to compare with"),
    "GCN": Row(PYRAMID, "gcn", "Peng 2017", "1703.02719", "large objects: kernels of 11 on every level"),
    "FastFCN": Row(PYRAMID, "fastfcn", "Wu 2019", "1903.11816", "the context of dilation without its cost"),
    "DeepLabV3": Row(DILATED, "", "Chen 2017", "1706.05587", "context at many scales"),
    "DeepLabV3Plus": Row(DILATED, "", "Chen 2018", "1802.02611", "context and borders: a strong standard"),
    "PAN": Row(DILATED, "", "Li 2018", "1805.10180", "attention over a pyramid, few parameters"),
    "FCN": Row(DILATED, "fcn", "Long 2015", "1411.4038", "torchvision's baseline"),
    "DilatedPSPNet": Row(DILATED, "psp", "Zhao 2017", "1612.01105", "the paper's PSPNet: context of whole scenes"),
    "DANet": Row(DILATED, "danet", "Fu 2019", "1809.02983", "attention among pixels, and among channels"),
    "OCNet": Row(DILATED, "ocnet", "Yuan 2018", "1809.00916", "context from pixels of the same object"),
    "DenseASPP": Row(DILATED, "denseaspp", "Yang 2018", "10.1109/CVPR.2018.00388", "objects of very different sizes"),
    "EncNet": Row(DILATED, "encnet", "Zhang 2018", "1803.08904", "scenes that tell their classes; has an SELoss"),
    "DUC": Row(DILATED, "duc", "Wang 2018", "1702.08502", "a pixel shuffle and hybrid dilation"),
    "PSANet": Row(DILATED, "psanet", "Zhao 2018", "10.1007/978-3-030-01240-3_17", "each pixel learns where to look"),
    "DUNet": Row(DILATED, "dunet", "Tian 2019", "1903.02120", "upsampling that is learnt from the masks"),
    "BiSeNet": Row(REAL_TIME, "bisenet", "Yu 2018", "1808.00897", "real time on any light encoder"),
    "ICNet": Row(REAL_TIME, "icnet", "Zhao 2018", "1704.08545", "large images: a quarter goes through all layers"),
    "LRASPP": Row(REAL_TIME, "lraspp", "Howard 2019", "1905.02244", "phones: the decoder of MobileNetV3"),
    "STDC": Row(REAL_TIME, "stdc", "Fan 2021", "2104.13188", "real time; learns details with DetailLoss"),
    "DDRNet": Row(REAL_TIME, "ddrnet", "Hong 2021", "2101.06085", "real time on GPUs: two branches"),
    "PIDNet": Row(REAL_TIME, "pidnet", "Xu 2023", "2206.02066", "real time with sharp borders, with EdgeLoss"),
    "ENet": Row(REAL_TIME, "enet", "Paszke 2016", "1606.02147", "the smallest: 0.4 M parameters"),
    "CGNet": Row(REAL_TIME, "cgnet", "Wu 2018", "1811.08201", "half a million parameters, with context"),
    "ESPNetv2": Row(REAL_TIME, "espnetv2", "Mehta 2019", "1811.11431", "small processors: depthwise and dilated"),
    "LEDNet": Row(REAL_TIME, "lednet", "Wang 2019", "1905.02423", "a million parameters, with attention"),
    "DFANet": Row(REAL_TIME, "dfanet", "Li 2019", "1904.02216", "large images at few multiply-adds"),
    "SegNet": Row(STAND_ALONE, "segnet", "Badrinarayanan 2015", "1511.00561", "a baseline to compare with"),
    "SegResNet": Row(STAND_ALONE, "segnet", "Badrinarayanan 2015", "1511.00561", "SegNet on the layers of a ResNet-50"),
    "VanillaUNet": Row(
        STAND_ALONE, "vanilla_unet", "Ronneberger 2015", "1505.04597", "the paper's U-Net, from scratch"
    ),
    "FCDenseNet": Row(STAND_ALONE, "fc_densenet", "Jegou 2017", "1611.09326", "little data, from scratch; slow"),
    "DRN": Row(STAND_ALONE, "drn", "Yu 2017", "1705.09914", "a dilated ResNet without gridding"),
    "DPT": Row(TRANSFORMERS, "", "Ranftl 2021", "2103.13413", "fine borders from a plain transformer"),
    "LinearHead": Row(TRANSFORMERS, "linear_head", "Oquab 2023", "2304.07193", "frozen DINOv2 or DINOv3 features"),
    "EoMT": Row(TRANSFORMERS, "eomt", "Kerssies 2025", "2503.19108", "the best scores of large transformers"),
}
NETWORKS = {  # TEMPORARY: those that are written
    name: row
    for name, row in NETWORKS.items()
    if not row.module
    or __import__("pathlib").Path(__file__).parent.parent.joinpath("models/networks", row.module + ".py").exists()
}
