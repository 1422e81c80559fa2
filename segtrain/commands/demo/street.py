"""Street: what stands on it, each drawn by a Painter: ground, houses, trees, poles, cars, people.

x is meters to the right of the middle of the street, z meters ahead of the camera; colors are RGB, 0..255.
"""

import cv2
import numpy as np

from segtrain.commands.demo.painter import (
    BUILDING,
    CAR,
    FARTHEST_M,
    IGNORED,
    PERSON,
    POLE,
    ROAD,
    TREE,
    Painter,
    flat,
    smooth_noise,
    turn_upright,
)

WALLS = [(178, 88, 66), (150, 72, 58), (222, 206, 172), (196, 190, 182), (128, 130, 134), (92, 92, 98),
         (214, 180, 120), (170, 186, 192), (232, 226, 216), (120, 104, 90), (196, 150, 140)]  # fmt: skip
ROOFS = [(150, 74, 56), (92, 84, 84), (70, 76, 88), (120, 92, 76)]
PAINTS = [(196, 30, 36), (36, 66, 140), (222, 222, 224), (150, 154, 158), (52, 54, 58), (84, 88, 92),
          (28, 92, 78), (206, 168, 60), (110, 116, 124)]  # fmt: skip
CLOTHES = [(200, 40, 44), (44, 90, 190), (232, 150, 40), (236, 214, 70), (226, 80, 110), (104, 60, 150),
           (40, 140, 120), (66, 66, 78)]  # fmt: skip
SKINS = [(236, 196, 168), (206, 152, 116), (142, 96, 68), (92, 62, 46)]
LEAVES = [(62, 104, 40), (84, 118, 44), (46, 84, 46), (116, 122, 48), (156, 108, 44)]


def draw_ground(painter: Painter, kerb_m: float, shadows: list) -> None:
    """Asphalt and pavement with kerbs, lane markings, patches, texture and the shadows that fall on them."""
    rng = painter.rng
    edges = np.geomspace(0.8, FARTHEST_M, 30)
    near, far = edges[:-1], edges[1:]
    asphalt, paving = rng.uniform(70, 112) + rng.normal(0, 4, 3), rng.uniform(118, 176) + rng.normal([6, 2, -4], 4)
    # A far apron reaches the horizon; the bend of the street stops at FARTHEST_M.
    painter.fill(flat(-4000, 4000, np.array([FARTHEST_M * 0.9]), np.array([9000.0])), paving, ROAD)
    painter.fill(flat(-90, 90, near, far), paving, ROAD)
    painter.fill(flat(-kerb_m, kerb_m, near, far), asphalt, ROAD)
    for side in (-1, 1):
        painter.fill(flat(side * kerb_m, side * (kerb_m + 0.25), near, far, 0.05), paving * 1.2, ROAD)
        painter.fill(flat(side * (kerb_m - 0.3), side * kerb_m, near, far), asphalt * 0.75, ROAD)
    for _ in range(rng.integers(0, 5)):
        x, z = rng.uniform(-kerb_m, kerb_m - 1.2), rng.uniform(4, 25, 1)
        patch = flat(x, x + rng.uniform(0.5, 1.2), z, z + rng.uniform(0.6, 5))
        painter.fill(patch, asphalt * rng.choice([0.8, 1.15]), ROAD)
    paint = np.array([222, 220, 208]) if rng.random() < 0.85 else np.array([226, 190, 80])
    dashes = np.arange(rng.uniform(0, 6), 70, 6.0)
    painter.fill(flat(-0.08, 0.08, dashes, dashes + 3), paint, ROAD)
    if rng.random() < 0.35:
        z = rng.uniform(7, 22, 1)
        for x in np.arange(-kerb_m + 0.4, kerb_m - 0.5, 1.0):
            painter.fill(flat(x, x + 0.5, z, z + 3), paint, ROAD)
    shade_ground(painter, shadows)


def shade_ground(painter: Painter, shadows: list) -> None:
    """Roughen the ground in perspective and darken it inside the shadows, (corners, 3) outlines in meters."""
    shadow = np.zeros_like(painter.mask)
    for outline in shadows:
        cv2.fillConvexPoly(shadow, cv2.convexHull(painter.project(outline)), 255)
    top, step = int(max(painter.center[1] + 2, 0)), 2  # soft enough for half the resolution
    rows, columns = np.mgrid[1 : painter.height - top + 1 : step, 0 : painter.width : step].astype(np.float32)
    depth = painter.eye[1] * painter.focal_px / rows
    texels = 24 * np.stack([(columns - painter.center[0]) * depth / painter.focal_px, depth], axis=-1)
    tile = smooth_noise(painter.rng, 128, 128, (128, 128)) + smooth_noise(painter.rng, 128, 128, (16, 16))
    rough = cv2.remap(tile, texels, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP) * np.exp(-depth / 12)
    rough = cv2.resize(rough, (painter.width, painter.height - top))
    factor = (1 + 0.06 * rough) * (1 - painter.light.shadow / 255 * cv2.blur(shadow, (5, 5))[top:].astype(np.float32))
    factor[painter.mask[top:] != ROAD] = 1
    ground = painter.image[top:]
    ground[:] = np.clip(ground * factor[..., None], 0, 255)


def draw_wall(painter: Painter, start: np.ndarray, end: np.ndarray, height_m: float, look: dict) -> None:
    """A wall over the ground line from start to end, (x, z) in meters, with a grid of windows."""
    rng = painter.rng
    bays = max(1, round(np.hypot(*(end - start)) / look["bay_m"]))
    floors = max(1, round(height_m / 3.2))
    posts = start + np.linspace(0, 1, bays + 1)[:, None] * (end - start)
    # The side that the shadows point to is the side that the sun falls on.
    sunlit = 1 + painter.light.shadow * (0.25 if start[0] * painter.sun[0] > 0 else -0.45)
    color = look["wall"] * sunlit * (1.0 if start[0] == end[0] else 0.8)
    step, floor_m = posts[1] - posts[0], height_m / floors
    left = np.tile(posts[:-1] + look["margin"] * step, (floors, 1))
    right = np.tile(posts[1:] - look["margin"] * step, (floors, 1))
    bottom = np.repeat(np.arange(floors), bays) * floor_m + look["sill_m"]
    top = bottom + floor_m - look["sill_m"] - 0.7
    panes = rng.uniform(0.5, 1.3, (floors * bays, 1)) * look["glass"]
    if painter.light.lamps:
        panes[rng.random(len(panes)) < 0.4] = 470, 380, 240
    frame = 0.12 * step / look["bay_m"]
    layers = [
        (turn_upright(posts[:-1], posts[1:], 0, height_m), color * rng.uniform(0.96, 1.04, (bays, 1))),
        (turn_upright(posts[:-1], posts[1:], height_m - 0.45, height_m), color * 1.15),
        (turn_upright(left - frame, right + frame, bottom - 0.15, top + 0.12), color * look["frame"]),
        (turn_upright(left, right, bottom, top), panes),
    ]
    if look["shop"] is not None:
        layers.append((turn_upright(posts[:-1], posts[1:], 0.5, 2.5), panes[:bays] * 0.8))
        layers.append((turn_upright(posts[:-1], posts[1:], 2.6, 3.3), look["shop"] * sunlit))
    colors = [np.broadcast_to(tone, (len(quads), 3)) for quads, tone in layers]
    painter.fill(np.concatenate([quads for quads, _ in layers]), np.concatenate(colors), BUILDING)


def draw_building(painter: Painter, side: int, front_m: float, near: float, far: float, height_m: float) -> None:
    """A house at one side of the street, its front front_m off the middle, from near to far meters ahead."""
    rng = painter.rng
    x, depth_m = side * front_m, side * 14
    look = {
        "wall": painter.pick(WALLS),
        "bay_m": rng.uniform(2.2, 4.2),
        "margin": rng.uniform(0.1, 0.32),
        "sill_m": rng.uniform(0.5, 1.1),
        "glass": rng.uniform(40, 120) * np.array([0.8, 0.95, 1.1]),
        "frame": rng.choice([0.8, 1.25]),
        "shop": painter.pick(PAINTS) if rng.random() < 0.4 else None,
    }
    if rng.random() < 0.4:
        eave, ridge, top_m, edges = x - side * 0.2, x + depth_m * 0.4, height_m + 4, np.linspace(near, far, 6)
        slopes = flat(eave, ridge, edges[:-1], edges[1:], height_m - 0.1)
        slopes[:, 1:3, 1] = top_m
        painter.fill(slopes, painter.pick(ROOFS), BUILDING)
        gable = [[x, height_m, near], [x + depth_m * 0.8, height_m, near], [ridge, top_m, near]]
        painter.fill(np.array([gable]), look["wall"] * 0.8, BUILDING)
    draw_wall(painter, np.array([x + depth_m, near]), np.array([x, near]), height_m, {**look, "shop": None})
    draw_wall(painter, np.array([x, near]), np.array([x, far]), height_m, look)


def draw_skyline(painter: Painter) -> None:
    """What closes the street far away: blocks and the crowns of a park."""
    rng = painter.rng
    for x in rng.permutation(np.arange(-110, 110, 14)):
        size, height_m, z = rng.uniform(8, 20), rng.uniform(3, 22), FARTHEST_M
        ends = np.array([[x, z]]), np.array([[x + size, z]])
        painter.fill(turn_upright(*ends, 0, height_m), painter.pick(WALLS) * 0.7, BUILDING)
        if rng.random() < 0.5:
            draw_crown(painter, np.array([x, 4, z - 10]), np.array([10, 6, 5]), painter.pick(LEAVES), leaves=60)


def draw_crown(painter: Painter, center: np.ndarray, radii_m: np.ndarray, color: np.ndarray, *, leaves: int) -> None:
    """Foliage: overlapping discs, dark within and below, light above and towards the sun."""
    rng = painter.rng
    directions = rng.normal(size=(leaves, 3))
    directions *= rng.uniform(0.2, 1, (leaves, 1)) ** 0.7 / np.linalg.norm(directions, axis=1, keepdims=True)
    directions = directions[np.argsort(directions[:, 1] + rng.normal(0, 0.3, leaves))]
    height = 0.75 + 0.4 * directions[:, 1:2] - 0.2 * np.sign(painter.sun[0]) * directions[:, :1]
    tones = color * height * rng.uniform(0.8, 1.2, (leaves, 1))
    centers = center + directions * radii_m
    centers[:, 2] = center[2]
    painter.discs(centers, radii_m.min() * rng.uniform(0.1, 0.34, leaves), tones, TREE)


def draw_tree(painter: Painter, x: float, z: float, height_m: float) -> None:
    crown = height_m * np.array([painter.rng.uniform(0.2, 0.36), 0.33, 0.25])
    bark = painter.pick([(88, 70, 54), (104, 94, 84), (64, 52, 44)])
    fork_m, sunny = height_m * 0.6, x - 0.008 * height_m * np.sign(painter.sun[0])
    painter.rods([((x, 0), (x, fork_m), z, 0.045 * height_m, bark)], TREE)
    painter.rods([((sunny, 0), (sunny, fork_m), z, 0.012 * height_m, bark * 1.35)], TREE, thinnest_px=1)
    for reach in (-0.12, 0.12):
        painter.rods([((x, fork_m * 0.7), (x + reach * height_m, fork_m), z, 0.02 * height_m, bark)], TREE)
    leaves = int(np.clip(2400 / z, 50, 240))
    draw_crown(painter, np.array([x, height_m * 0.66, z]), crown, painter.pick(LEAVES), leaves=leaves)


def draw_pole(painter: Painter, x: float, z: float, kind: str) -> None:
    """A street lamp, a traffic light or a road sign; its arm reaches over the street."""
    inwards, metal = -np.sign(x), painter.pick([(36, 40, 44), (44, 58, 52), (210, 212, 206)])
    height_m = {"lamp": 7.5, "light": 3.6, "sign": 2.7}[kind]
    rods = [((x, 0), (x, height_m), z, 0.3, metal), ((x, 0), (x, 0.8), z, 0.4, metal * 0.8)]
    if kind == "lamp":
        tip, arm_m = x + inwards * 1.8, height_m + 0.3
        rods.append(((x, height_m), (tip, arm_m), z, 0.26, metal))
        rods.append(((tip, arm_m), (tip + inwards * 0.5, arm_m), z, 0.36, (236, 232, 214)))
        painter.glow((tip, arm_m, z), 0.5)
    if kind == "light":
        rods.append(((x, 2.9), (x, 3.6), z, 0.5, (34, 36, 36)))
    painter.rods(rods, POLE, thinnest_px=4)
    if kind == "light":
        lit = painter.rng.integers(3)
        for row, color in enumerate([(40, 220, 110), (250, 180, 40), (240, 50, 40)]):
            dot = np.array(color) * (1 if row == lit else 0.3)
            painter.discs(np.array([[x, 2.9 + 0.35 * row, z]]), np.array([0.14]), dot[None], POLE)
    if kind == "sign":
        face = painter.pick([(200, 36, 40), (36, 84, 180), (236, 196, 60)])
        inside = painter.pick([(240, 240, 236), (220, 224, 230)])
        painter.discs(np.array([[x, 2.6, z]] * 2), np.array([0.5, 0.32]), np.array([face, inside]), POLE)


def draw_car(painter: Painter, x: float, z: float, *, oncoming: bool) -> None:
    """A car whose end near the camera is z meters ahead, with the side that faces the camera."""
    rng, paint = painter.rng, painter.pick(PAINTS)
    length_m, half_m, waist_m = rng.uniform(3.8, 4.8), rng.uniform(0.82, 0.95), rng.uniform(0.88, 1.0)
    roof_m = waist_m + rng.uniform(0.5, 0.85)
    glass = rng.uniform(26, 60) * np.array([0.85, 1.0, 1.15])
    side = 1 if painter.eye[0] > x else -1
    seen_side, inner = x + side * half_m, x + side * (half_m - 0.16)

    def box(bottom: float, top: float, half_m: float, near: float, far: float, color) -> None:
        corners = [(x + s * half_m, y, z + w) for s in (-1, 1) for y in (bottom, top) for w in (near, far)]
        painter.hull(np.array(corners), color, CAR)

    painter.fill(flat(x - half_m, x + half_m, np.array([z]), np.array([z + length_m])), 18.0, ROAD)
    front, back = 0.18 * length_m, 0.86 * length_m
    box(0.2, waist_m, half_m, 0, length_m, paint * 1.1)
    box(waist_m - 0.05, roof_m, half_m - 0.16, front * 0.6, back - 0.3, paint * 1.2)
    sides = [
        ([(0.2, 0), (0.2, length_m), (waist_m, length_m), (waist_m, 0)], paint * 0.78),
        ([(waist_m, front), (waist_m, back), (roof_m, back - 0.5), (roof_m, front + 0.5)], paint * 0.7),
    ]
    for begin, end in ((front + 0.35, 0.48 * length_m), (0.52 * length_m, back - 0.35)):
        lintel_m = roof_m - 0.1
        sides.append(([(waist_m, begin), (waist_m, end), (lintel_m, end - 0.1), (lintel_m, begin + 0.2)], glass))
    panels = [[(seen_side if y <= waist_m else inner, y, z + w) for y, w in corners] for corners, _ in sides]
    painter.fill(np.array(panels), np.array([tone for _, tone in sides]), CAR)
    draw_wheels(painter, seen_side, z, length_m)
    painter.rods([((x + u, 0.1), (x + u, 0.3), z + 0.2, 0.22, (22, 22, 24)) for u in (0.16 - half_m, half_m - 0.16)],
                 CAR, thinnest_px=1)  # fmt: skip
    ends = [  # bottom, top, half width at either, how far ahead, color
        (waist_m, roof_m, half_m, half_m - 0.16, front * 0.6, paint),
        (waist_m + 0.04, roof_m - 0.1, half_m - 0.12, half_m - 0.24, front * 0.6, glass),
        (0.2, waist_m, half_m, half_m, 0, paint),
        (waist_m - 0.06, waist_m, half_m, half_m, 0, paint * 1.25),
        (0.22, 0.42, half_m, half_m, 0, paint * 0.5),
        (0.5, 0.62, 0.25, 0.25, 0, (230, 228, 216)),
    ]
    quads = [[(x - p, y, z + w), (x + p, y, z + w), (x + q, v, z + w), (x - q, v, z + w)] for y, v, p, q, w, _ in ends]
    painter.fill(np.array(quads), np.array([tone for *_, tone in ends]), CAR)
    lamp = (250, 246, 226) if oncoming else (190, 24, 26)
    for u in (x - half_m + 0.2, x + half_m - 0.2):
        painter.discs(np.array([[u, 0.7, z]]), np.array([0.13]), np.array([lamp], float), CAR)
        if oncoming:
            painter.glow((u, 0.7, z), 0.15)


def draw_wheels(painter: Painter, x: float, z: float, length_m: float) -> None:
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    axles, radii_m = np.array([0.19, 0.19, 0.81, 0.81]) * length_m, np.array([0.33, 0.17, 0.33, 0.17])
    rims = np.full((4, 12, 3), float(x))
    rims[..., 1] = 0.33 + radii_m[:, None] * np.sin(angles)
    rims[..., 2] = z + axles[:, None] + radii_m[:, None] * np.cos(angles)
    painter.fill(rims, np.array([[24, 24, 26], [130, 132, 136]] * 2), CAR)


def draw_person(painter: Painter, x: float, z: float) -> None:
    rng, height_m = painter.rng, painter.rng.uniform(1.5, 1.9)
    top, trousers, skin = painter.pick(CLOTHES), painter.pick(CLOTHES) * 0.7, painter.pick(SKINS)
    hip_m, shoulder_m, stride_m = 0.48 * height_m, 0.8 * height_m, rng.uniform(0.08, 0.3)
    limbs = []
    for reach in (-stride_m, stride_m):
        foot = (x + reach, 0.05)
        limbs.append(((x, hip_m), foot, z, 0.2, trousers))
        limbs.append((foot, (x + reach + 0.1, 0.05), z, 0.12, (36, 32, 30)))
        limbs.append(((x, shoulder_m - 0.05), (x + 1.2 * reach, hip_m), z, 0.13, top * 0.8))
    limbs.append(((x, hip_m + 0.05), (x, shoulder_m - 0.1), z, 0.44, top))
    if rng.random() < 0.3:
        limbs.append(((x - 0.18, hip_m + 0.2), (x - 0.18, shoulder_m - 0.15), z, 0.22, painter.pick(CLOTHES)))
    painter.rods(limbs, PERSON)
    head, hair = [x, height_m - 0.13, z], painter.pick([(40, 30, 24), (120, 84, 48), (170, 150, 120)])
    crown = [x - 0.02, height_m - 0.08, z]
    painter.discs(np.array([crown, head]), np.array([0.17, 0.145]), np.array([hair, skin]), PERSON)


def draw_bin(painter: Painter, x: float, z: float) -> None:
    """A litter bin: a thing of no class."""
    color = painter.pick([(70, 84, 70), (96, 92, 88), (176, 110, 40)])
    body, lid = ((x, 0.25), (x, 0.75), z, 0.5, color), ((x, 0.9), (x, 0.95), z, 0.55, color * 0.6)
    painter.rods([body, lid], IGNORED)


def draw_bonnet(painter: Painter) -> None:
    """The bonnet of the car that the camera rides in, which a dataset would mask out."""
    rng, color = painter.rng, painter.pick(PAINTS) * painter.light.tint
    center = (round(painter.width * rng.uniform(0.44, 0.56)), painter.height)
    half_width, rise = painter.width * rng.uniform(0.42, 0.6), painter.height * rng.uniform(0.05, 0.095)
    for share in (1.0, 0.9, 0.75, 0.5):
        axes = (round(half_width * share), round(rise * share))
        shade = np.clip(color * (1.35 - 0.5 * share), 0, 255).tolist()
        cv2.ellipse(painter.image, center, axes, 0, 180, 360, shade, -1)
        cv2.ellipse(painter.mask, center, axes, 0, 180, 360, IGNORED, -1)
