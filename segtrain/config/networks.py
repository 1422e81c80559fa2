"""Networks that `model.name` may name: where the code of each is, its paper, and what it is good for.

A row without a module is a network of segmentation-models-pytorch. The class of any other has the name of the row and
is in segtrain/models/networks/; a row and its module can be deleted together.
"""

from typing import NamedTuple

PYRAMID, DILATED, REAL_TIME = "pyramid decoders", "dilated", "real-time"
STAND_ALONE, TRANSFORMERS = "stand-alone", "transformers"
GROUPS = {
    PYRAMID: "with any encoder that has a feature pyramid",
    DILATED: "with an encoder that can be dilated to output stride 8 or 16",
    REAL_TIME: "with any encoder, or complete networks",
    STAND_ALONE: "complete networks without an encoder",
    TRANSFORMERS: "with a plain transformer of timm, like tu-vit_small_patch16_224",
}


class Entry(NamedTuple):
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
    "Unet": Entry(PYRAMID, "", "Ronneberger 2015", "1505.04597", "the first choice: fine borders, little data"),
    "UnetPlusPlus": Entry(PYRAMID, "", "Zhou 2018", "1807.10165", "small structures, at three times the cost of Unet"),
    "MAnet": Entry(PYRAMID, "", "Fan 2020", "10.1109/ACCESS.2020.3025372", "medical images: Unet with attention"),
    "Linknet": Entry(PYRAMID, "", "Chaurasia 2017", "1707.03718", "a Unet that adds instead of concatenating: fast"),
    "FPN": Entry(PYRAMID, "", "Kirillov 2019", "1901.02446", "objects of all sizes, fast"),
    "UPerNet": Entry(PYRAMID, "", "Xiao 2018", "1807.10221", "the usual decoder for Swin and ConvNeXt"),
    "Segformer": Entry(PYRAMID, "", "Xie 2021", "2105.15203", "a small decoder, designed for mit encoders"),
    "PSPNet": Entry(PYRAMID, "", "Zhao 2017", "1612.01105", "the first half of an encoder: fast and coarse"),
    "FCN32s": Entry(PYRAMID, "fcn_skips", "Long 2015", "1411.4038", "a baseline for comparison"),
    "FCN16s": Entry(PYRAMID, "fcn_skips", "Long 2015", "1411.4038", "a baseline for comparison"),
    "FCN8s": Entry(PYRAMID, "fcn_skips", "Long 2015", "1411.4038", "a baseline for comparison"),
    "GCN": Entry(PYRAMID, "gcn", "Peng 2017", "1703.02719", "large objects: kernels of size 11 at every level"),
    "FastFCN": Entry(PYRAMID, "fastfcn", "Wu 2019", "1903.11816", "the context of dilation without its cost"),
    "DUNet": Entry(DILATED, "dunet", "Tian 2019", "1903.02120", "upsampling learned from the masks"),
    "DeepLabV3": Entry(DILATED, "", "Chen 2017", "1706.05587", "context at many scales"),
    "DeepLabV3Plus": Entry(DILATED, "", "Chen 2018", "1802.02611", "context and borders: a strong default"),
    "PAN": Entry(DILATED, "", "Li 2018", "1805.10180", "attention over a pyramid, few parameters"),
    "FCN": Entry(DILATED, "fcn", "Long 2015", "1411.4038", "torchvision's baseline"),
    "DilatedPSPNet": Entry(DILATED, "psp", "Zhao 2017", "1612.01105", "the paper's PSPNet: context of the whole scene"),
    "DANet": Entry(DILATED, "danet", "Fu 2019", "1809.02983", "attention over pixels and over channels"),
    "OCNet": Entry(DILATED, "ocnet", "Yuan 2018", "1809.00916", "context from pixels of the same object"),
    "DenseASPP": Entry(DILATED, "denseaspp", "Yang 2018", "10.1109/CVPR.2018.00388", "objects of very different sizes"),
    "EncNet": Entry(DILATED, "encnet", "Zhang 2018", "1803.08904", "scenes that hint at their classes, with SELoss"),
    "DUC": Entry(DILATED, "duc", "Wang 2018", "1702.08502", "thin objects: learned upsampling, no gridding"),
    "PSANet": Entry(DILATED, "psanet", "Zhao 2018", "10.1007/978-3-030-01240-3_17", "each pixel learns where to look"),
    "BiSeNet": Entry(REAL_TIME, "bisenet", "Yu 2018", "1808.00897", "real time with any light encoder"),
    "ICNet": Entry(REAL_TIME, "icnet", "Zhao 2018", "1704.08545", "large images: deep layers see a quarter-size copy"),
    "LRASPP": Entry(REAL_TIME, "lraspp", "Howard 2019", "1905.02244", "phones: the decoder of MobileNetV3"),
    "STDC": Entry(REAL_TIME, "stdc", "Fan 2021", "2104.13188", "real time; learns details with DetailLoss"),
    "DDRNet": Entry(REAL_TIME, "ddrnet", "Hong 2021", "2101.06085", "real time on GPUs: two branches"),
    "PIDNet": Entry(REAL_TIME, "pidnet", "Xu 2023", "2206.02066", "real time with sharp borders, with EdgeLoss"),
    "ENet": Entry(REAL_TIME, "enet", "Paszke 2016", "1606.02147", "the smallest: 0.4 M parameters"),
    "CGNet": Entry(REAL_TIME, "cgnet", "Wu 2018", "1811.08201", "half a million parameters, with context"),
    "ESPNetv2": Entry(REAL_TIME, "espnetv2", "Mehta 2019", "1811.11431", "small processors: depthwise and dilated"),
    "LEDNet": Entry(REAL_TIME, "lednet", "Wang 2019", "1905.02423", "a million parameters, with attention"),
    "DFANet": Entry(REAL_TIME, "dfanet", "Li 2019", "1904.02216", "large images with few multiply-adds"),
    "SegNet": Entry(STAND_ALONE, "segnet", "Badrinarayanan 2015", "1511.00561", "a baseline for comparison"),
    "SegResNet": Entry(STAND_ALONE, "segnet", "Badrinarayanan 2015", "1511.00561", "SegNet on ResNet-50 layers"),
    "VanillaUNet": Entry(
        STAND_ALONE, "vanilla_unet", "Ronneberger 2015", "1505.04597", "the paper's U-Net, from scratch"
    ),
    "FCDenseNet": Entry(STAND_ALONE, "fc_densenet", "Jegou 2017", "1611.09326", "little data, from scratch; slow"),
    "DRN": Entry(STAND_ALONE, "drn", "Yu 2017", "1705.09914", "a dilated ResNet without gridding"),
    "DPT": Entry(TRANSFORMERS, "", "Ranftl 2021", "2103.13413", "fine borders from a plain transformer"),
    "LinearHead": Entry(TRANSFORMERS, "linear_head", "Oquab 2023", "2304.07193", "frozen DINOv2 or DINOv3 features"),
    "EoMT": Entry(TRANSFORMERS, "eomt", "Kerssies 2025", "2503.19108", "the best scores of large transformers"),
}
