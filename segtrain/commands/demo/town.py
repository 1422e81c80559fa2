"""Town: orthophotos of a small town from above, with its buildings as masks of 0 and 255.

Metres to the right and down from the upper left corner of an image; colors are RGB, 0..255.
"""

from itertools import pairwise

import cv2
import numpy as np

from segtrain.commands.demo.painter import OVERSAMPLING, smooth_noise

HOUSE = 255
PIXEL_M = 0.3
HOUSE_ROOFS = [(164, 84, 64), (140, 70, 56), (92, 88, 92), (122, 118, 116), (182, 176, 168), (110, 84, 70)]
CAR_PAINTS = [(200, 40, 40), (230, 230, 232), (60, 64, 70), (50, 80, 150), (150, 152, 156)]
ASPHALT, FIELD, LAWN, LEAVES = (104, 104, 108), (168, 156, 104), (98, 124, 72), (52, 84, 44)


class Map:
    """The canvases of one image, image: HWC uint8 RGB and mask: HW uint8, both oversampled, and a rotated grid."""

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        self.rng = rng
        self.image = np.zeros((OVERSAMPLING * height, OVERSAMPLING * width, 3), np.uint8)
        self.mask = np.zeros(self.image.shape[:2], np.uint8)
        self.size_m = np.array([width, height]) * PIXEL_M
        angle = rng.uniform(0, np.pi / 2)
        self.axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        self.sun = rng.uniform(0.35, 0.9) * np.array([0.6, -0.8])  # meters of shadow for each meter of height

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) of the grid, in meters from the center of the image, to (N, 2) int32 pixels."""
        return np.rint((points @ self.axes + self.size_m / 2) * OVERSAMPLING / PIXEL_M).astype(np.int32)

    def fill(self, points: np.ndarray, color, label: int) -> None:
        """Paint a polygon (N, 2) of the grid."""
        outline = [self.project(np.asarray(points, float))]
        cv2.fillPoly(self.image, outline, np.clip(color, 0, 255).tolist())
        cv2.fillPoly(self.mask, outline, label)

    def disc(self, point: np.ndarray, radius_m: float, color) -> None:
        """Paint a disc of no building around a point of the grid."""
        center, radius = self.project(point[None])[0].tolist(), round(radius_m * OVERSAMPLING / PIXEL_M)
        cv2.circle(self.image, center, radius, np.clip(color, 0, 255).tolist(), -1)
        cv2.circle(self.mask, center, radius, 0, -1)

    def shade(self, points: np.ndarray, height_m: float) -> None:
        """Darken the shadow of a convex body with the outline (N, 2) and a height."""
        foot = np.asarray(points, float)
        outline = cv2.convexHull(self.project(np.concatenate([foot, foot + height_m * self.sun @ self.axes.T])))
        shadow = np.zeros_like(self.mask)
        cv2.fillConvexPoly(shadow, outline, 1)
        self.image[shadow > 0] = self.image[shadow > 0] * 0.55


def draw_town(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """An orthophoto of PIXEL_M a pixel: image, (height, width, 3) uint8 RGB, and mask, (height, width) uint8 0/255."""
    town = Map(rng, height, width)
    town.image[:] = LAWN
    reach_m = float(np.hypot(*town.size_m)) / 2
    across, along = (np.arange(-reach_m - rng.uniform(0, 40), reach_m, step) for step in rng.uniform(55, 85, 2))
    for left, right in pairwise(across):
        for top, bottom in pairwise(along):
            draw_block(town, np.array([left + 4, top + 4]), np.array([right - 4, bottom - 4]))
    for street in across:
        draw_street(town, np.array([street, -reach_m]), np.array([street, reach_m]))
    for street in along:
        draw_street(town, np.array([-reach_m, street]), np.array([reach_m, street]))
    return photograph(town)


def draw_street(town: Map, start: np.ndarray, end: np.ndarray) -> None:
    """A street with its cars; start and end have one coordinate of the grid in common."""
    ahead = (end - start) / np.linalg.norm(end - start)
    aside = ahead[::-1]
    town.fill([start - 3.5 * aside, end - 3.5 * aside, end + 3.5 * aside, start + 3.5 * aside], ASPHALT, 0)
    for distance in np.arange(town.rng.uniform(0, 12), np.linalg.norm(end - start), 12):
        if town.rng.random() < 0.3:
            rear = start + distance * ahead + town.rng.choice([-2.2, 2.2]) * aside - 0.9 * aside
            front = rear + 4.4 * ahead
            color = CAR_PAINTS[town.rng.integers(len(CAR_PAINTS))]
            town.fill([rear, front, front + 1.8 * aside, rear + 1.8 * aside], color, 0)


def draw_block(town: Map, low: np.ndarray, high: np.ndarray) -> None:
    """What is between four streets: a field, or plots with houses and trees."""
    rng = town.rng
    if rng.random() < 0.15:
        color = np.array(FIELD) * rng.uniform(0.8, 1.1)
        town.fill([low, (high[0], low[1]), high, (low[0], high[1])], color, 0)
        return
    plot_m = (high - low) / np.maximum(np.rint((high - low) / rng.uniform(18, 30)), 1)
    for x in np.arange(low[0], high[0] - 1, plot_m[0]):
        for y in np.arange(low[1], high[1] - 1, plot_m[1]):
            corner = np.array([x, y])
            if rng.random() < 0.85:
                size = plot_m * rng.uniform(0.35, 0.75, 2)
                draw_house(town, corner + (plot_m - size) * rng.uniform(0.2, 0.8, 2), size)
            for _ in range(rng.poisson(1.2)):
                draw_shade_tree(town, corner + plot_m * rng.uniform(0, 1, 2))


def draw_house(town: Map, corner: np.ndarray, size: np.ndarray) -> None:
    """A house under a gabled or a flat roof, sometimes with a wing."""
    rng = town.rng
    roof, height_m = np.array(HOUSE_ROOFS[rng.integers(len(HOUSE_ROOFS))]) * rng.uniform(0.85, 1.1), rng.uniform(3, 9)
    parts = [(corner, size)]
    if rng.random() < 0.35:
        parts.append((corner + size * (0.6, -0.35), size * 0.4))
    for (x, y), (wide, deep) in parts:
        town.shade([(x, y), (x + wide, y), (x + wide, y + deep), (x, y + deep)], height_m)
    for (x, y), (wide, deep) in parts:
        if rng.random() < 0.3:
            town.fill([(x, y), (x + wide, y), (x + wide, y + deep), (x, y + deep)], roof, HOUSE)
            continue
        middle = y + deep / 2
        town.fill([(x, y), (x + wide, y), (x + wide, middle), (x, middle)], roof * 1.08, HOUSE)
        town.fill([(x, middle), (x + wide, middle), (x + wide, y + deep), (x, y + deep)], roof * 0.8, HOUSE)


def draw_shade_tree(town: Map, point: np.ndarray) -> None:
    """A tree; it covers what it stands over."""
    radius_m, color = town.rng.uniform(1.2, 3.4), np.array(LEAVES) * town.rng.uniform(0.8, 1.25)
    around = point + radius_m * np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * 0.7
    town.shade(around, 1.5 * radius_m)
    town.disc(point, radius_m, color)
    town.disc(point - 0.3 * radius_m * town.sun @ town.axes.T, 0.55 * radius_m, color * 1.25)


def photograph(town: Map) -> tuple[np.ndarray, np.ndarray]:
    """The finished image and mask: texture, light and sensor come in here."""
    rng = town.rng
    height, width = (side // OVERSAMPLING for side in town.mask.shape)
    mask = cv2.resize(town.mask, (width, height), interpolation=cv2.INTER_NEAREST)
    image = cv2.resize(town.image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    texture = smooth_noise(rng, height, width, (height // 2, width // 2))
    texture += smooth_noise(rng, height, width, (height // 24, width // 24))
    image *= (1 + np.where(mask == HOUSE, 0.03, 0.08) * texture)[..., None]
    image = cv2.GaussianBlur(image, (0, 0), 0.6) * (rng.normal(1, 0.03, 3) * rng.uniform(0.85, 1.15))
    image += rng.normal(0, 3, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), mask
