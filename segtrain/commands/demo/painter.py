"""Painter: one camera, one light, and two canvases that every shape goes to by the same call.

A scene is a small world in meters (x to the right, y up, z ahead of the camera), painted far to near.
"""

from typing import NamedTuple

import cv2
import numpy as np

SKY, ROAD, BUILDING, TREE, POLE, CAR, PERSON = range(7)
IGNORED = 255
OVERSAMPLING = 2  # scenes are painted at twice their size; averaging then smooths the image's edges, not the mask's
NEAREST_M, FARTHEST_M = 0.8, 150.0


class Light(NamedTuple):
    """A time of day: RGB of the sky, RGB factor on every surface, darkness of shadows 0..1, whether lamps are lit."""

    zenith: tuple[int, int, int]
    horizon: tuple[int, int, int]
    tint: tuple[float, float, float]
    shadow: float
    lamps: bool


LIGHTS = [
    Light((58, 118, 200), (186, 208, 232), (1.0, 1.0, 0.97), 0.5, False),
    Light((142, 152, 166), (208, 211, 214), (0.82, 0.85, 0.9), 0.12, False),
    Light((92, 128, 186), (252, 206, 150), (1.08, 0.92, 0.72), 0.55, False),
    Light((34, 44, 88), (206, 132, 112), (0.56, 0.53, 0.64), 0.0, True),
]


class Painter:
    """The two canvases of one scene, its camera and its light.

    image: HWC uint8 RGB, mask: HW uint8, both oversampled. Points are (..., 3) arrays in meters.
    """

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        self.rng = rng
        self.height, self.width = OVERSAMPLING * height, OVERSAMPLING * width
        self.image = np.zeros((self.height, self.width, 3), np.uint8)
        self.mask = np.full((self.height, self.width), SKY, np.uint8)
        self.light = LIGHTS[rng.choice(len(LIGHTS), p=[0.38, 0.26, 0.22, 0.14])]
        self.focal_px = self.width * rng.uniform(0.72, 0.92)
        self.center = self.width * rng.uniform(0.42, 0.58), self.height * rng.uniform(0.42, 0.54)
        self.eye = rng.uniform(0.3, 2.2), rng.uniform(1.4, 2.1)
        self.bend = rng.normal(0, 0.0006)  # of the street, 1 / (2 * radius in meters)
        self.visibility_m = rng.uniform(60, 260)
        self.sun = np.array([rng.choice([-1, 1]) * rng.uniform(0.3, 1.1), 0, rng.uniform(-0.5, 0.6)])
        self.glows: list[tuple[list[int], int]] = []

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points in meters to (..., 2) int32 pixels; what lies behind the camera is pulled before it."""
        z = np.maximum(points[..., 2], NEAREST_M)
        x = points[..., 0] - self.eye[0] + self.bend * np.minimum(z, FARTHEST_M) ** 2
        scale, pixels = self.focal_px / z, np.empty((*z.shape, 2), np.int32)
        pixels[..., 0] = x * scale + self.center[0] + 0.5
        pixels[..., 1] = (self.eye[1] - points[..., 1]) * scale + self.center[1] + 0.5
        return pixels

    def expose(self, colors: np.ndarray, distance_m: np.ndarray) -> list:
        """The RGB that is seen of surfaces at a distance: their color in this light, fading into haze."""
        clear = np.exp(-np.maximum(distance_m, 0) / self.visibility_m)[..., None]
        haze = np.multiply(0.85, self.light.horizon)
        return np.clip(colors * np.array(self.light.tint) * clear + haze * (1 - clear), 0, 255).tolist()

    def fill(self, corners: np.ndarray, color, label: int) -> None:
        """Paint convex polygons in their order, (N, corners, 3), in one color or in N."""
        colors = self.expose(np.broadcast_to(color, (len(corners), 3)), corners[..., 2].mean(axis=1))
        for polygon, seen in zip(self.project(corners), colors, strict=True):
            cv2.fillConvexPoly(self.image, polygon, seen)
            cv2.fillConvexPoly(self.mask, polygon, label)

    def hull(self, points: np.ndarray, color, label: int) -> None:
        """Paint the outline of a convex body with corners (N, 3)."""
        outline = cv2.convexHull(self.project(points))
        cv2.fillConvexPoly(self.image, outline, self.expose(np.array(color), points[:, 2].mean()))
        cv2.fillConvexPoly(self.mask, outline, label)

    def rods(self, rods: list[tuple], label: int, *, thinnest_px: int = 2) -> None:
        """Paint thick lines with round ends in their order, none thinner than thinnest_px of the finished scene.

        Each rod is (x, y) of its start, (x, y) of its end, meters ahead, width in meters, color.
        """
        starts, ends, ahead, widths, colors = (np.array(column, float) for column in zip(*rods, strict=True))
        lines = self.project(np.stack([np.insert(starts, 2, ahead, axis=1), np.insert(ends, 2, ahead, axis=1)], axis=1))
        thickness = np.maximum(OVERSAMPLING * thinnest_px, np.rint(self.focal_px * widths / ahead)).astype(int)
        seen = self.expose(colors, ahead)
        for (start, end), wide, color in zip(lines.tolist(), thickness.tolist(), seen, strict=True):
            cv2.line(self.image, start, end, color, wide)
            cv2.line(self.mask, start, end, label, wide)

    def discs(self, centers: np.ndarray, radii_m: np.ndarray, colors: np.ndarray, label: int) -> None:
        """Paint N discs in their order: centers (N, 3), radii (N,), colors (N, 3)."""
        radii = np.rint(self.focal_px * radii_m / np.maximum(centers[:, 2], NEAREST_M)).astype(int).tolist()
        for center, radius, seen in zip(
            self.project(centers).tolist(), radii, self.expose(colors, centers[:, 2]), strict=True
        ):
            cv2.circle(self.image, center, max(radius, 1), seen, -1)
            cv2.circle(self.mask, center, max(radius, 1), label, -1)

    def glow(self, point, radius_m: float) -> None:
        """Remember a lamp; it shines where the light asks for lamps, see develop."""
        self.glows.append((self.project(np.array(point, float)).tolist(), round(self.focal_px * radius_m / point[2])))

    def pick(self, colors: list) -> np.ndarray:
        """One of the colors, slightly varied."""
        return np.array(colors[self.rng.integers(len(colors))]) * self.rng.uniform(0.85, 1.12, 3)


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells: tuple[int, int]) -> np.ndarray:
    """(height, width) float32 noise around 0 with that many bumps down and across."""
    return cv2.resize(rng.standard_normal(cells, dtype=np.float32), (width, height), interpolation=cv2.INTER_CUBIC)


def turn_upright(start: np.ndarray, end: np.ndarray, bottom, top) -> np.ndarray:
    """(N, 4, 3) standing rectangles over ground lines from start to end, (N, 2) arrays of x and z."""
    corners = np.zeros((len(start), 4, 3))
    corners[:, [0, 3], 0::2], corners[:, [1, 2], 0::2] = start[:, None], end[:, None]
    corners[:, :2, 1], corners[:, 2:, 1] = np.reshape(bottom, (-1, 1)), np.reshape(top, (-1, 1))
    return corners


def flat(left, right, near: np.ndarray, far: np.ndarray, height_m: float = 0.0) -> np.ndarray:
    """(N, 4, 3) lying rectangles, one for each pair of near and far."""
    corners = [[left + 0 * near, near], [right + 0 * near, near], [right + 0 * far, far], [left + 0 * far, far]]
    plan = np.array(corners).transpose(2, 0, 1)
    return np.insert(plan, 1, height_m, axis=2)


def draw_sky(painter: Painter) -> None:
    """Sky, clouds and the glow of the sun. It is soft, so half the resolution is enough."""
    rng, light = painter.rng, painter.light
    height, width = painter.height // 2, painter.width // 2
    rows, columns = np.ogrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    zenith, horizon = np.array(light.zenith, np.float32), np.array(light.horizon, np.float32)
    down = np.clip(rows * painter.height / painter.center[1], 0, 1).astype(np.float32)[..., None]
    noise = smooth_noise(rng, height, width, (7, 5)) + 0.6 * smooth_noise(rng, height, width, (22, 12))
    noise += 0.35 * smooth_noise(rng, height, width, (60, 40)) + np.float32(rng.uniform(-1.2, 0.8))
    cover = np.clip(noise * 0.9, 0, 0.85)[..., None]
    cloud = 0.55 * horizon + 115 * np.minimum(light.tint, 1).astype(np.float32)
    sky = (zenith + (horizon - zenith) * down) * (1 - cover) + cloud * cover
    x, y = 0.5 - 0.35 * np.sign(painter.sun[0]), rng.uniform(0.05, 0.35)
    distance = np.hypot((rows - y) * height / width, columns - x).astype(np.float32)
    halo = 70 * np.exp(-distance / 0.2) + 200 * np.exp(-((distance / 0.03) ** 2))
    sky = (sky + np.float32(1.6 * light.shadow) * halo[..., None]) * np.float32(rng.uniform(0.9, 1.08))
    painter.image[:] = cv2.resize(np.clip(sky, 0, 255).astype(np.uint8), (painter.width, painter.height))


def develop(painter: Painter) -> tuple[np.ndarray, np.ndarray]:
    """The finished image, HWC uint8 RGB, and mask, HW uint8: texture, lamps, lens and sensor come in here."""
    rng = painter.rng
    width, height = size = painter.width // OVERSAMPLING, painter.height // OVERSAMPLING
    mask = cv2.resize(painter.mask, size, interpolation=cv2.INTER_NEAREST)
    grain = smooth_noise(rng, height, width, (height * 2 // 3, width * 2 // 3))
    grain += smooth_noise(rng, height, width, (24, 30))
    roughness = np.zeros(256, np.float32)
    roughness[[BUILDING, TREE, CAR, PERSON]] = 0.035, 0.1, 0.02, 0.04
    image = cv2.resize(painter.image, size, interpolation=cv2.INTER_AREA)
    image = image * (1 + grain * roughness[mask])[..., None]
    if painter.light.lamps:
        shine = np.zeros((height, width, 3), np.float32)
        for (x, y), radius in painter.glows:
            center = (x // OVERSAMPLING, y // OVERSAMPLING)
            cv2.circle(shine, center, max(radius // OVERSAMPLING, 1), (150, 125, 80), -1)
        image += cv2.GaussianBlur(shine, (0, 0), 2) + cv2.GaussianBlur(shine, (0, 0), 9)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.55))
    down, right = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    image *= (1 - rng.uniform(0, 0.14) * (down**2 + right**2)).astype(np.float32)[..., None]
    image *= (rng.normal(1, 0.035, 3) * rng.uniform(0.85, 1.18) / 255).astype(np.float32)
    image = 255 * np.clip(image, 0, 1) ** np.float32(rng.uniform(0.85, 1.15))
    image += rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(1.0, 3.0))
    # Annotators cannot tell to the pixel where thin things end; as in Pascal VOC, a line around them counts nowhere.
    thin = ((mask == POLE) | (mask == PERSON)).astype(np.uint8)
    mask[cv2.dilate(thin, np.ones((3, 3), np.uint8)) > thin] = IGNORED
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), mask
