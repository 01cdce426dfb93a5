"""Procedural paediatric frontal chest films: the embedded data set, with no download.

A scene is attenuation in patient coordinates (x to the image's right, y down, both about -1 to 1):
soft tissue, minus the air of the lungs, plus bone. It is then warped onto the film, exposed and
stamped. Pose, body and exposure are drawn alike for both classes; only consolidation, air replaced
by fluid, tells them apart. Nothing here is fitted to or copied from a real film.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

CLASSES = ("normal", "pneumonia")

SIDE = 256  # every scene is rendered at this size, then area-averaged: all sizes show the same film
GRID = 192  # the patient canvas is a little coarser: warping to the film softens it anyway
REACH = 1.2  # the patient canvas runs past the film's edge, so a shifted pose still has content
AXIS = np.linspace(-REACH, REACH, GRID, dtype=np.float32)
X, Y = AXIS[None, :], AXIS[:, None]
FILM = np.linspace(-1, 1, SIDE, dtype=np.float32)
LEFT = (X > 0).astype(np.float32)  # the patient's left is at the image's right

Stroke = tuple[np.ndarray, float, float]  # points [n, 2] in patient units, width, brightness


@dataclass(frozen=True)
class Body:
    """One child in one breath, in patient units."""

    cage: float  # half-width of the rib cage at its base
    wall: float  # soft tissue outside the ribs
    apex: float  # y of the lungs' tops
    domes: tuple[float, float]  # y of the right and left diaphragm's tops
    heart: float  # how far the heart reaches to the left, as a share of the cage
    spacing: float  # from rib to rib
    arm: float  # y that the elbows point at: above the shoulder for raised arms

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Body":
        """A random child."""
        breath = rng.uniform(0.34, 0.60)
        apex = rng.uniform(-0.70, -0.56)
        return cls(
            cage=rng.uniform(0.62, 0.78),
            wall=rng.uniform(0.08, 0.20),
            apex=apex,
            domes=(breath, breath + rng.uniform(0.01, 0.09)),
            heart=rng.uniform(0.52, 0.74),
            spacing=(breath + 0.25 - apex) / rng.uniform(7.6, 9.2),
            arm=rng.uniform(-1.5, -0.9) if rng.uniform() < 0.6 else rng.uniform(-0.2, 0.6),
        )

    def cage_at(self, y: np.ndarray) -> np.ndarray:
        """Half-width of the rib cage at each height: a dome above, nearly straight below."""
        t = np.clip((y - self.apex + 0.06) / (self.domes[0] + 0.1 - self.apex), 1e-3, 1)
        return self.cage * (t * (2 - t)) ** 0.42 * (1 + 0.05 * y)


def edge(signed: np.ndarray, softness: float) -> np.ndarray:
    """Smooth step from 0 (outside, negative) to 1 (inside), `softness` wide."""
    t = signed * np.float32(1 / softness)
    t += 0.5
    np.clip(t, 0, 1, out=t)
    return t * t * (3 - 2 * t)


def blob(x: float, y: float, rx: float, ry: float, tilt: float = 0.0) -> np.ndarray:
    """Squared elliptical radius about (x, y): 1 on the ellipse."""
    c, s = float(np.cos(tilt)), float(np.sin(tilt))
    u, v = X - x, Y - y
    return ((c * u + s * v) / rx) ** 2 + ((c * v - s * u) / ry) ** 2


def clouds(rng: np.random.Generator, cells: int, side: int = GRID) -> np.ndarray:
    """Smooth noise of about unit variance, `cells` bumps across."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))


def strokes(lines: Iterable[Stroke], blur: float) -> np.ndarray:
    """Polylines drawn at twice the resolution, averaged down and blurred."""
    canvas = Image.new("L", (2 * GRID, 2 * GRID))
    pen, scale = ImageDraw.Draw(canvas), GRID / REACH
    for points, width, value in lines:
        at = ((points + REACH) * scale).ravel().tolist()
        pen.line(at, fill=int(255 * value), width=max(1, round(width * scale)), joint="curve")
    drawn = np.asarray(canvas.reduce(2), dtype=np.float32) / 255
    return ndimage.gaussian_filter(drawn, blur, truncate=2)


def soft_tissue(rng: np.random.Generator, body: Body) -> np.ndarray:
    """Thickness of trunk, neck, head and arms: rounded, so it thins towards the skin."""
    a, w = body.apex, body.cage + body.wall
    knots = [-1.2, a - 0.30, a - 0.16, a - 0.02, a + 0.25, 0.3, 1.2]
    half = np.interp(AXIS, knots, [0.3, 0.33, 0.55, 0.88 * w + 0.06, w + 0.03, w, w])
    half = ndimage.gaussian_filter1d(half, 6).astype(np.float32)[:, None]
    trunk = 1 - (X / half) ** 2
    head = 1 - blob(rng.uniform(-0.08, 0.08), a - rng.uniform(0.40, 0.72), 0.48, 0.36)
    jaw = 0.10 * np.sqrt(np.maximum(head, 0)) + 0.08 * np.maximum(1 - 5 * np.abs(head - 0.2), 0)
    # Each arm is a capsule: distance to the segment from shoulder to elbow, mirrored by |x|.
    sx, sy = w - 0.14, a + 0.10
    dx, dy = 0.55, body.arm - sy
    along = np.clip(((np.abs(X) - sx) * dx + (Y - sy) * dy) / (dx * dx + dy * dy), 0, 1)
    far2 = (np.abs(X) - sx - along * dx) ** 2 + (Y - sy - along * dy) ** 2
    arms = 0.5 * (1 - far2 / rng.uniform(0.15, 0.20) ** 2)
    thick2 = np.clip(np.maximum(np.maximum(trunk, arms), 0.7 * head), 0, 1)
    return 0.60 * thick2**0.4 + jaw


def lung_field(body: Body, cage: np.ndarray) -> np.ndarray:
    """Where there is air, 0 to 1: inside the cage, above the domes, beside the mediastinum."""
    r = np.abs(X) / body.cage - 0.40
    top = body.domes[0] + (body.domes[1] - body.domes[0]) * LEFT
    dome = top + (0.5 + 0.25 * np.sign(r)) * r * r
    # The mediastinum's two borders down the film: great vessels, then the right atrium.
    a, low = body.apex, body.domes[0]
    knots = [a, a + 0.25, a + 0.45, low - 0.2, low + 0.2]
    right = np.interp(AXIS, knots, [0.16, 0.13, 0.13, 0.20, 0.17])
    left = np.interp(AXIS, knots, [0.14, 0.17, 0.15, 0.20, 0.20])
    borders = ndimage.gaussian_filter1d(np.stack([right, left]), 5).astype(np.float32)
    border = borders[0][:, None] * (1 - LEFT) + borders[1][:, None] * LEFT
    inside = edge(0.985 * cage - np.abs(X), 0.05) * edge(np.abs(X) - border, 0.07)
    return inside * edge(dome - Y, 0.045) * edge(Y - a - 0.02, 0.06)


def heart(body: Body) -> np.ndarray:
    """The heart's shadow, 0 to 1: a tilted egg whose apex points down and to the patient's left."""
    reach = body.heart * body.cage
    y = body.domes[0] - 0.17
    egg = blob(reach - 0.30, y, 0.34, 0.25, 0.55)
    shoulder = blob(reach - 0.36, y - 0.20, 0.20, 0.26, -0.15)
    return np.maximum(edge(1 - egg, 0.45), edge(1 - shoulder, 0.5))


def ribs(rng: np.random.Generator, body: Body, cage: np.ndarray) -> np.ndarray:
    """The ribs as tilted rings: the back half arches up, the fainter front half hangs down.

    All ribs come from one periodic function of height above the ring; dividing by the slope keeps
    a rib's width where it turns steeply down at the chest wall.
    """
    r2 = np.minimum((X / cage) ** 2, 1)
    root = np.sqrt(1 - r2 + 0.02)
    slant = np.sqrt(r2) / (root * cage)
    inside = edge(1.01 * cage - np.abs(X), 0.03)
    jitter = rng.normal(0, 0.035 * body.spacing, 64).astype(np.float32)
    bright = rng.uniform(0.8, 1.1, 64).astype(np.float32)
    total = np.zeros((GRID, GRID), np.float32)
    halves = ((-rng.uniform(0.22, 0.32), 0.19, 1.0), (rng.uniform(0.30, 0.42), 0.22, 0.42))
    for rise, width, strength in halves:
        phase = (Y - body.apex - 0.30 - rise * root) / body.spacing
        whole = np.floor(phase)
        index = whole.astype(np.int32) + 24
        off = (phase - whole - 0.5) * body.spacing + jitter[index]
        d = np.abs(off) / np.sqrt(1 + (rise * slant) ** 2) / (width * body.spacing)
        band = edge(1.1 - d, 0.5)
        rim = np.maximum(1 - np.abs(d - 0.85) * 3.5, 0)  # the cortex is denser than the marrow
        seen = edge(whole + 1.2, 1.5) * edge(11.5 - phase, 4.0)
        if rise > 0:  # the front ends turn to cartilage, which casts no shadow
            seen = seen * edge(np.sqrt(r2) - 0.55, 0.35)
        total += strength * seen * bright[index] * (0.6 * band + 0.5 * rim)
    # At the wall every rib is seen end on, which adds up to one bright line.
    wall = np.maximum(1 - np.abs(np.abs(X) - 0.98 * cage) / 0.022, 0)
    return total * inside + 0.9 * wall * edge(Y - body.apex - 0.1, 0.3)


def spine(rng: np.random.Generator, body: Body) -> np.ndarray:
    """Vertebral bodies with bright end plates, pedicles, and the dark windpipe above."""
    phase = (Y - body.apex) / (body.spacing * 0.98) + rng.uniform()
    unit = phase - np.floor(phase) - 0.5
    half = 0.085 + 0.02 * (2 * unit) ** 2 + 0.012 * Y
    column = edge(half - np.abs(X), 0.03)
    plates = np.maximum(1 - np.abs(np.abs(unit) - 0.36) * 9, 0)
    disc = edge(np.abs(unit) - 0.43, 0.08)
    eyes = np.maximum(1 - ((np.abs(X) - 0.055) / 0.022) ** 2 - ((unit + 0.08) / 0.2) ** 2, 0)
    bone = column * (0.06 + 0.035 * plates - 0.03 * disc) + 0.04 * eyes
    windpipe = edge(0.035 - np.abs(X + 0.015), 0.03) * edge(body.apex + 0.36 - Y, 0.15)
    return bone - rng.uniform(0.06, 0.12) * windpipe


def shoulders(rng: np.random.Generator, body: Body) -> np.ndarray:
    """Collar bones, shoulder blades and upper arm bones."""
    a, w = body.apex, body.cage
    lines: list[Stroke] = []
    for side in (-1, 1):
        up = rng.uniform(-0.09, 0.05)
        sx, sy = w + 0.04, a + 0.06 + up
        collar = [(0.10, a + 0.15), (0.20, a + 0.10), (0.34, sy - 0.05)]
        collar += [(w - 0.20, sy - 0.10), (w - 0.04, sy - 0.09)]
        arm = [(sx, sy), (sx + 0.55, sy + body.arm - a)]
        blade = [(w - 0.02, a + up), (w - 0.16, a + 0.28), (w - 0.07, a + 0.52)]
        outer = [(w + 0.02, a + 0.1 + up), (w + 0.01, a + 0.28), (w - 0.07, a + 0.52)]
        for points, width, value in (
            (blade, 0.025, 0.35), (outer, 0.02, 0.30), (arm, 0.10, 0.6), (arm, 0.055, 0.42),
            (collar, 0.065, 0.85), (collar, 0.03, 0.6),
        ):  # fmt: skip
            lines.append((np.array(points) * (side, 1), width, value))
    return strokes(lines, 1.0)


def vessels(rng: np.random.Generator, body: Body) -> np.ndarray:
    """Arteries and veins that fork and taper outwards from each hilum."""
    lines: list[Stroke] = []
    for side in (-1, 1):
        n = 11
        start = np.column_stack([np.full(n, side * 0.15), body.apex + rng.uniform(0.38, 0.55, n)])
        angle = np.linspace(-0.9, 1.4, n) + rng.normal(0, 0.12, n)
        for width, value in ((0.030, 0.8), (0.020, 0.65), (0.012, 0.5)):
            step = rng.uniform(0.08, 0.19, len(angle))[:, None]
            end = start + step * np.column_stack([side * np.cos(angle), np.sin(angle)])
            lines += [(np.array(p), width, value) for p in zip(start, end, strict=True)]
            fork = rng.uniform(0.1, 0.5, len(angle))
            start, angle = np.r_[end, end], np.r_[angle - fork, angle + fork]
    return strokes(lines, 0.7)


def consolidation(rng: np.random.Generator, body: Body) -> np.ndarray:
    """Share of the air that is replaced by fluid, 0 to 1: one lobe or soft patches, in a haze."""
    low = body.domes[0]
    side = rng.choice((-1.0, 1.0))
    clear = np.full((GRID, GRID), rng.uniform(0.65, 0.95), np.float32)
    if rng.uniform() < 0.45:
        # A fissure, nearly straight, bounds the lobe; only that border is sharp.
        level = rng.uniform(body.apex + 0.45, low - 0.25) + rng.uniform(-0.25, 0.35) * np.abs(X)
        up = -1.0 if rng.uniform() < 0.35 else 1.0
        deep = up * (Y - level)
        lobe = edge(deep, 0.04) * edge(rng.uniform(0.6, 1.2) - deep, 0.5) * edge(side * X, 0.02)
        clear *= 1 - rng.uniform(0.75, 1.0) * lobe
    else:
        for _ in range(rng.integers(4, 9)):
            x = rng.uniform(0.15, 0.55) * (side if rng.uniform() < 0.7 else -side)
            y = rng.triangular(body.apex + 0.3, low - 0.1, low + 0.1)
            far = blob(x, y, rng.uniform(0.15, 0.36), rng.uniform(0.13, 0.32), rng.uniform(0, 3))
            clear *= 1 - rng.uniform(0.6, 0.97) * np.exp(-far)
    return np.clip((1 - clear) * (0.9 + 0.12 * clouds(rng, 12)), 0, 1)


def scene(rng: np.random.Generator, *, pneumonia: bool) -> np.ndarray:
    """Attenuation on the patient canvas, about 0 to 1."""
    body = Body.draw(rng)
    cage = body.cage_at(Y).astype(np.float32)
    field = lung_field(body, cage)
    cardiac = heart(body)
    depth = np.sqrt(1 - 0.8 * np.minimum((X / cage) ** 2, 1))
    air = field * depth * (1 - 0.80 * cardiac) * rng.uniform(0.85, 1.1)
    fluid = consolidation(rng, body) if pneumonia else np.zeros_like(air)
    clear = field * (1 - 0.7 * cardiac)  # what lies over the heart shows little
    tissue = soft_tissue(rng, body) + 0.012 * clouds(rng, 8) * field
    below = edge(Y - body.domes[0] - 0.05, 0.35)
    inside = edge(cage + 0.02 - np.abs(X), 0.12)
    tissue += 0.07 * cardiac * field
    tissue += inside * ((0.15 - 0.05 * field) * below + 0.10 * edge(0.25 - np.abs(X), 0.35))
    if rng.uniform() < 0.5:  # gas in the stomach
        x, y = rng.uniform(0.25, 0.45), body.domes[1] + rng.uniform(0.14, 0.28)
        gas = blob(x, y, 0.2, 0.09, -0.2)
        tissue -= rng.uniform(0.08, 0.2) * edge(1.2 - gas + 0.3 * clouds(rng, 16), 0.8)
    hidden = 1 - 0.5 * fluid  # fluid scatters: what lies in it loses contrast
    bone = ribs(rng, body, cage) * (0.05 + 0.13 * clear) * rng.uniform(0.8, 1.3) * hidden
    bone += 0.24 * shoulders(rng, body) + spine(rng, body) * rng.uniform(0.8, 1.5)
    vascular = 0.20 * vessels(rng, body) * clear * (1 - fluid) * rng.uniform(0.6, 1.2)
    return tissue - 0.45 * air * (1 - 0.92 * fluid) + bone + vascular


def onto_film(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """The child as it lay: turned, shifted, scaled and a little bent."""
    turn, zoom = rng.normal(0, 0.045), rng.uniform(0.84, 1.04)
    c, s, aspect = float(np.cos(turn)), float(np.sin(turn)), rng.uniform(0.94, 1.07)
    fx, fy = FILM[None, :] * zoom * aspect, FILM[:, None] * zoom
    bend = rng.normal(0, 0.02) * np.sin(2.2 * fy + rng.uniform(0, 6))
    sway = rng.normal(0, 0.015) * np.sin(2.5 * fx + rng.uniform(0, 6))
    x = c * fx + s * fy + rng.normal(0, 0.05) + bend
    y = c * fy - s * fx + rng.normal(0, 0.05) + sway
    pixels = (np.stack([y, x]) / REACH + 1) * (GRID - 1) / 2
    return ndimage.map_coordinates(canvas, pixels, order=1, mode="nearest")


def expose(rng: np.random.Generator, film: np.ndarray) -> np.ndarray:
    """Film brightness, 0 to 1: automatic exposure to a random mean, noise, collimation."""
    light = np.clip(film, 0.004, 1.1) / 1.05
    veil = ndimage.uniform_filter(light, 31)  # scatter
    light = 0.92 * light + rng.uniform(0.03, 0.10) * veil
    target = np.clip(rng.normal(0.50, 0.05), 0.38, 0.59)
    light **= np.float32(np.clip(np.log(target) / np.log(light.mean()), 0.7, 1.6))
    light += rng.uniform(0.005, 0.020) * clouds(rng, SIDE * 5 // 8, SIDE)  # quantum noise
    for axis in (0, 1):  # the collimator's blades, on some sides only
        for ends in (1, -1):
            if rng.uniform() < 0.2:
                blade = edge(0.99 - rng.exponential(0.05) + ends * FILM, 0.012)
                light *= 0.04 + 0.96 * (blade[:, None] if axis == 0 else blade[None, :])
    return light


def marker(rng: np.random.Generator, film: np.ndarray) -> np.ndarray:
    """Burn in the technician's R, at the image's upper left: the patient's right."""
    tall = rng.uniform(0.045, 0.075) * SIDE
    at = rng.uniform((0.03, 0.04), (0.13, 0.36)) * SIDE
    bowl = np.linspace(-np.pi / 2, np.pi / 2, 9)
    arc = np.column_stack([0.3 + 0.27 * np.cos(bowl), 0.26 + 0.26 * np.sin(bowl)])
    glyph = np.vstack([[(0, 1), (0, 0)], arc, [(0, 0.52), (0.28, 0.52), (0.6, 1)]])
    c, s = np.cos(turn := rng.normal(0, 0.08)), np.sin(turn)
    points = at + tall * glyph @ np.array([[c, s], [-s, c]])
    sheet = Image.new("L", (2 * SIDE, 2 * SIDE))
    width = max(2, round(2 * tall * rng.uniform(0.11, 0.16)))
    ImageDraw.Draw(sheet).line((2 * points).ravel().tolist(), fill=255, width=width, joint="curve")
    ink = np.asarray(sheet.reduce(2), dtype=np.float32) / 255
    return film + ink * (rng.uniform(0.92, 1.0) - film)


def render(rng: np.random.Generator, *, pneumonia: bool, size: int) -> np.ndarray:
    """One film, uint8 [size, size]; the same generator state shows the same scene at any size."""
    film = marker(rng, expose(rng, onto_film(rng, scene(rng, pneumonia=pneumonia))))
    way = Image.Resampling.BOX if size <= SIDE else Image.Resampling.BICUBIC
    shown = Image.fromarray(np.clip(film, 0, 1).astype(np.float32)).resize((size, size), way)
    return np.clip(np.rint(np.asarray(shown) * 255), 0, 255).astype(np.uint8)


def phantom(
    size: int, per_class: int = 100, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The data set: images uint8 [n, 1, size, size], labels int64 [n], and a name for each film.

    Each film has its own generator, from (seed, class, index): more films never change the first.
    """
    which = [(label, i) for label in range(len(CLASSES)) for i in range(per_class)]

    def film(place: tuple[int, int]) -> np.ndarray:
        return render(np.random.default_rng([seed, *place]), pneumonia=place[0] == 1, size=size)

    with ThreadPoolExecutor(4) as threads:  # half of a film's time is C's: more gain nothing
        images = list(threads.map(film, which))
    stack = np.array(images, np.uint8).reshape(len(which), 1, size, size)
    labels = np.array([label for label, _ in which], np.int64)
    return stack, labels, tuple(f"phantom/{seed}/{CLASSES[label]}/{i}" for label, i in which)
