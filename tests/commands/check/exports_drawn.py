"""One set of ten images, as each labeling tool exports it. The layouts follow real exports: CVAT's writers
(cvat/apps/dataset_manager/formats), datumaro's, Label Studio's and labelme's, Roboflow's and Kaggle's data sets."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH, COUNT = 40, 56, 10
NAMES = [f"{index:02d}" for index in range(COUNT)]
COLORS = {"road": (128, 64, 128), "car": (250, 50, 83)}
Box = tuple[int, int, int, int]


def boxes(index: int) -> dict[str, Box]:
    """Left, top, right, bottom of the road and of the car on it, which image 3 lacks."""
    road = (2 + index, 4, 40 + index, 36)
    return {"road": road} if index == 3 else {"road": road, "car": (10 + index, 8 + index, 22 + index, 20 + index)}


def truth(index: int) -> np.ndarray:
    """HW, names of classes."""
    mask = np.full((HEIGHT, WIDTH), "background", dtype="U10")
    for name, (left, top, right, bottom) in boxes(index).items():
        mask[top:bottom, left:right] = name
    return mask


def outline(box: Box) -> list[tuple[int, int]]:
    left, top, right, bottom = box
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def draw_image(path: Path, index: int) -> None:
    """A picture like no other: noise that is resized."""
    noise = np.random.default_rng(index).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(path, quality=95)


def split_of(index: int) -> str:
    return "train" if index < 6 else "valid" if index < 8 else "test"


def coco_content(indices, *, folder: str = "", suffix: str = ".jpg", parent: bool = False, crowd: bool = False) -> dict:
    """A file of COCO; with `parent`, Roboflow's first category that nothing belongs to; with `crowd`, runs as CVAT
    writes what is painted."""
    names = [*(["things"] if parent else []), *COLORS]
    images = [{"id": i, "file_name": f"{folder}{NAMES[i]}{suffix}", "height": HEIGHT, "width": WIDTH} for i in indices]
    annotations = []
    for index in indices:
        for name, box in boxes(index).items():
            left, top, right, bottom = box
            shape = [[number for point in outline(box) for number in point]]
            if crowd:
                mask = np.zeros((HEIGHT, WIDTH), np.uint8)
                mask[top:bottom, left:right] = 1
                flat = np.concatenate([[0], mask.ravel(order="F"), [0]])
                ends = np.flatnonzero(np.diff(flat))
                counts = np.diff(np.concatenate([[0], ends, [mask.size]]))
                shape = {"counts": counts.tolist(), "size": [HEIGHT, WIDTH]}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": names.index(name),
                    "segmentation": shape,
                    "area": (right - left) * (bottom - top),
                    "bbox": [left, top, right - left, bottom - top],
                    "iscrowd": int(crowd),
                }
            )
    categories = [
        {"id": i, "name": name, "supercategory": "things" if parent and i else "none"} for i, name in enumerate(names)
    ]
    return {"info": {}, "licenses": [], "categories": categories, "images": images, "annotations": annotations}


def write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def cvat_coco(root: Path) -> None:
    for index, name in enumerate(NAMES):
        draw_image(root / f"images/{name}.jpg", index)
    write_json(root / "annotations/instances_default.json", coco_content(range(COUNT)))


def cvat_coco_painted(root: Path) -> None:
    cvat_coco(root)
    write_json(root / "annotations/instances_default.json", coco_content(range(COUNT), crowd=True))


def coco_of_splits(root: Path) -> None:
    for index, name in enumerate(NAMES):
        draw_image(root / f"{'train' if index < 6 else 'val'}2017/{name}.jpg", index)
    write_json(root / "annotations/instances_train2017.json", coco_content(range(6)))
    write_json(root / "annotations/instances_val2017.json", coco_content(range(6, COUNT)))
    write_json(root / "annotations/captions_val2017.json", coco_content(range(6, COUNT)))


def label_studio(root: Path) -> None:
    for index, name in enumerate(NAMES):
        draw_image(root / f"images/0c8ca5a{index}-{name}.jpg", index)
    content = coco_content(range(COUNT))
    for index, image in enumerate(content["images"]):
        image["file_name"] = f"images/0c8ca5a{index}-{NAMES[index]}.jpg"
    write_json(root / "result.json", content)


def roboflow_coco(root: Path) -> None:
    for index, name in enumerate(NAMES):
        draw_image(root / f"{split_of(index)}/{name}_jpg.rf.d41d8cd98f00.jpg", index)
    for split in ("train", "valid", "test"):
        indices = [index for index in range(COUNT) if split_of(index) == split]
        content = coco_content(indices, suffix="_jpg.rf.d41d8cd98f00.jpg", parent=True)
        write_json(root / split / "_annotations.coco.json", content)
    (root / "README.roboflow.txt").write_text("This dataset was exported via roboflow.com\n")


def roboflow_masks(root: Path) -> None:
    for index, name in enumerate(NAMES):
        stem = root / f"{split_of(index)}/{name}_jpg.rf.d41d8cd98f00"
        draw_image(stem.with_name(f"{stem.name}.jpg"), index)
        values = np.searchsorted(["background", "car", "road"], truth(index)).astype(np.uint8)
        Image.fromarray(values).save(stem.with_name(f"{stem.name}_mask.png"))
        (stem.parent / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, car\n2, road\n")


def labelme(root: Path) -> None:
    for index, name in enumerate(NAMES):
        draw_image(root / f"{name}.jpg", index)
        shapes = [
            {"label": label, "points": outline(box), "group_id": None, "shape_type": "polygon", "flags": {}}
            for label, box in boxes(index).items()
        ]
        content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"{name}.jpg", "imageData": None}
        write_json(root / f"{name}.json", content | {"imageHeight": HEIGHT, "imageWidth": WIDTH})


def cvat_xml(indices, *, painted: bool = False, subsets: bool = False, shapes: str = "") -> str:
    """annotations.xml of "CVAT for images 1.1", of a task or, with `subsets`, of a project."""
    labels = "".join(
        f"<label>\n<name>{name}</name>\n<color>#{r:02x}{g:02x}{b:02x}</color>\n<type>any</type>\n<attributes>\n"
        "</attributes>\n</label>\n"
        for name, (r, g, b) in COLORS.items()
    )
    kind = "project" if subsets else "task"
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta>\n<{kind}>\n'
    text += f"<id>4</id>\n<name>streets</name>\n<labels>\n{labels}</labels>\n</{kind}>\n</meta>\n"
    for index in indices:
        subset = {"train": "Train", "valid": "Validation", "test": "Test"}[split_of(index)]
        of_project = f' subset="{subset}" task_id="1"' if subsets else ""
        text += f'<image id="{index}" name="{NAMES[index]}.jpg"{of_project} width="{WIDTH}" height="{HEIGHT}">\n'
        for z_order, (name, box) in reversed([*enumerate(boxes(index).items())]):
            text += _cvat_shape(name, box, z_order, painted=painted)
        text += f"{shapes}</image>\n"
    return text + "</annotations>\n"


def _cvat_shape(name: str, box: Box, z_order: int, *, painted: bool) -> str:
    left, top, right, bottom = box
    common = f'label="{name}" source="manual" occluded="0" z_order="{z_order}"'
    if painted:
        size = f'left="{left}" top="{top}" width="{right - left}" height="{bottom - top}"'
        return f'<mask {common} rle="0, {(right - left) * (bottom - top)}" {size}>\n</mask>\n'
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in outline(box))
    return f'<polygon {common} points="{points}">\n</polygon>\n'


def cvat_images(root: Path) -> None:
    for index, name in enumerate(NAMES):
        draw_image(root / f"images/{name}.jpg", index)
    (root / "annotations.xml").write_text(cvat_xml(range(COUNT)))


def cvat_project(root: Path) -> None:
    for index, name in enumerate(NAMES):
        subset = {"train": "Train", "valid": "Validation", "test": "Test"}[split_of(index)]
        draw_image(root / f"images/{subset}/{name}.jpg", index)
    (root / "annotations.xml").write_text(cvat_xml(range(COUNT), painted=True, subsets=True))


def voc_masks(root: Path, *, lists: dict[str, range] | None = None, labelmap: bool = True) -> None:
    """CVAT's Segmentation mask 1.1."""
    colors = {"background": (0, 0, 0)} | COLORS
    for index, name in enumerate(NAMES):
        draw_image(root / f"JPEGImages/{name}.jpg", index)
        path = root / f"SegmentationClass/{name}.png"
        path.parent.mkdir(exist_ok=True)
        names, values = np.unique(truth(index), return_inverse=True)
        Image.fromarray(np.array([colors[item] for item in names], np.uint8)[values.reshape(HEIGHT, WIDTH)]).save(path)
    for split, indices in (lists or {"default": range(COUNT)}).items():
        path = root / f"ImageSets/Segmentation/{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{NAMES[index]}\n" for index in indices))
    if labelmap:
        lines = [f"{name}:{','.join(map(str, color))}::\n" for name, color in colors.items()]
        (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "".join(lines))


def voc_of_splits(root: Path) -> None:
    voc_masks(root, lists={"train": range(6), "val": range(6, COUNT), "trainval": range(COUNT)})


def runs_of(index: int, order: str = "F") -> dict[str, str]:
    """start length .. of each class's own pixels, from 1, down the columns (order F) or along the rows (C)."""
    found = {}
    for name in boxes(index):
        inside = np.flatnonzero(np.diff(np.concatenate([[False], truth(index).ravel(order=order) == name, [False]])))
        found[name] = " ".join(f"{start + 1} {end - start}" for start, end in inside.reshape(-1, 2).tolist())
    return found


def kaggle(root: Path, order: str = "F") -> None:
    for index, name in enumerate(NAMES):
        draw_image(root / f"train_images/{name}.jpg", index)
    rows = [f"{NAMES[i]}.jpg,{label},{runs}\n" for i in range(COUNT) for label, runs in runs_of(i, order).items()]
    (root / "train.csv").write_text("ImageId,ClassId,EncodedPixels\n" + "".join(rows))
    (root / "sample_submission.csv").write_text("ImageId,ClassId,EncodedPixels\nx.jpg,car,1 1\n")


def sartorius(root: Path) -> None:
    kaggle(root, "C")
    text = (
        (root / "train.csv")
        .read_text()
        .replace(".jpg", "")
        .replace("ImageId,ClassId,EncodedPixels", "id,cell_type,annotation")
    )
    (root / "train.csv").write_text(text)


def severstal(root: Path) -> None:
    kaggle(root)
    rows = [f"{NAMES[i]}.jpg_{label},{runs_of(i).get(label, '')}\n" for i in range(COUNT) for label in COLORS]
    (root / "train.csv").write_text("ImageId_ClassId,EncodedPixels\n" + "".join(rows))


def table_of_paths(root: Path) -> None:
    voc_masks(root / "files")
    rows = [f"files/JPEGImages/{name}.jpg,files/SegmentationClass/{name}.png\n" for name in NAMES]
    (root / "table.csv").write_text("image_path,mask_path\n" + "".join(rows))


TOOLS = {
    "CVAT, COCO 1.0": cvat_coco,
    "CVAT, COCO 1.0, painted": cvat_coco_painted,
    "CVAT for images 1.1": cvat_images,
    "CVAT for images 1.1, a project": cvat_project,
    "CVAT, Segmentation mask 1.1": voc_masks,
    "VOC with lists": voc_of_splits,
    "COCO": coco_of_splits,
    "Label Studio, COCO": label_studio,
    "Roboflow, COCO Segmentation": roboflow_coco,
    "Roboflow, Semantic Segmentation Masks": roboflow_masks,
    "labelme": labelme,
    "Kaggle": kaggle,
    "Kaggle, ImageId_ClassId": severstal,
    "Kaggle, along the rows": sartorius,
}
SPLITS = {
    "CVAT for images 1.1, a project": {"train": 6, "val": 2, "test": 2},
    "VOC with lists": {"train": 6, "val": 4},
    "COCO": {"train": 6, "val": 4},
    "Roboflow, COCO Segmentation": {"train": 6, "val": 2, "test": 2},
    "Roboflow, Semantic Segmentation Masks": {"train": 6, "val": 2, "test": 2},
}
"""Those that an export has; of others 2 of 10 are held out."""
