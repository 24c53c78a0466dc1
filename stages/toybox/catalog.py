"""What the toybox contains, as plain words and colors: the one place that names them.

Colors are sRGB in 0..1. Standard library only, because the faces of three stages read it.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

Rgb = tuple[float, float, float]

KINDS: tuple[str, ...] = (
    "mushroom",
    "mug",
    "chair",
    "table",
    "house",
    "tree",
    "car",
    "rocket",
    "duck",
    "barrel",
    "crate",
    "donut",
    "cake",
    "ice cream",
    "apple",
    "pear",
    "carrot",
    "cactus",
    "flower",
    "bottle",
    "vase",
    "teapot",
    "bird",
    "fish",
    "penguin",
    "cat",
    "snowman",
    "robot",
    "hat",
    "umbrella",
    "lamp",
    "truck",
    "boat",
    "plane",
    "tower",
    "chest",
    "book",
    "sword",
    "shield",
    "hammer",
)

FRONTED = frozenset(
    {
        "mug",
        "chair",
        "house",
        "car",
        "duck",
        "teapot",
        "flower",
        "bird",
        "fish",
        "penguin",
        "cat",
        "snowman",
        "robot",
        "truck",
        "boat",
        "plane",
        "tower",
        "chest",
        "book",
        "shield",
    }
)
"""Kinds that look different from the front, the side and the back."""

COLORS: Mapping[str, Rgb] = MappingProxyType(
    {
        "red": (0.84, 0.09, 0.09),
        "blue": (0.10, 0.28, 0.84),
        "green": (0.12, 0.60, 0.18),
        "yellow": (0.98, 0.80, 0.08),
        "white": (0.95, 0.95, 0.94),
        "purple": (0.53, 0.16, 0.70),
        "orange": (0.96, 0.50, 0.06),
        "pink": (0.97, 0.55, 0.72),
        "brown": (0.45, 0.26, 0.13),
        "black": (0.10, 0.10, 0.11),
        "gray": (0.55, 0.56, 0.58),
    }
)

MATERIALS: Mapping[str, Rgb] = MappingProxyType(
    {"wooden": (0.72, 0.50, 0.28), "golden": (0.90, 0.66, 0.18)}
)
"""What a whole toy can be made of, in place of a color; it is never painted with a pattern."""

LOOKS: Mapping[str, Rgb] = MappingProxyType({**COLORS, **MATERIALS})
"""What a toy's main color can be."""

PATTERNS: tuple[str, ...] = ("none", "dots", "stripes", "checks")

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "mushroom": "stem",
        "mug": "handle",
        "chair": "legs",
        "table": "legs",
        "house": "roof",
        "tree": "trunk",
        "car": "roof",
        "rocket": "fins",
        "barrel": "hoops",
        "cake": "icing",
        "ice cream": "cone",
        "carrot": "leaves",
        "cactus": "pot",
        "flower": "center",
        "bottle": "cap",
        "teapot": "lid",
        "bird": "wings",
        "fish": "fins",
        "penguin": "scarf",
        "cat": "collar",
        "snowman": "hat",
        "robot": "head",
        "hat": "band",
        "umbrella": "handle",
        "lamp": "stand",
        "truck": "cab",
        "boat": "sails",
        "plane": "wings",
        "tower": "roof",
        "chest": "lid",
        "sword": "handle",
        "shield": "rim",
        "hammer": "handle",
    }
)
"""Kinds of which one part's color can be named, and the word for that part."""

BACKGROUNDS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "white": (255, 255, 255),
        "black": (0, 0, 0),
        "gray": (128, 128, 128),
        "sky": (150, 202, 240),
        "pink": (246, 178, 200),
        "beige": (228, 210, 172),
        "mint": (164, 232, 200),
        "lavender": (198, 184, 238),
    }
)
"""Flat backgrounds in 8-bit sRGB."""

AZIMUTHS: Mapping[str, int] = MappingProxyType(
    {
        "front": 0,
        "front-left": 45,
        "left": 90,
        "back-left": 135,
        "back": 180,
        "back-right": 225,
        "right": 270,
        "front-right": 315,
    }
)
"""Centers in degrees; grows counter-clockwise seen from above (`stages/geometry/orbit.py`)."""

ELEVATIONS: Mapping[str, int] = MappingProxyType({"low": -10, "eye-level": 15, "overhead": 45})
"""Centers in degrees."""

AZIMUTH_JITTER_DEG = 7.5
ELEVATION_JITTER_DEG = 5.0

IMAGE_SIZE_PX = 128
CAMERA_DISTANCE_M = 1.8
CAMERA_FOVY_DEG = 40.0
OBJECT_RADIUS_M = 0.5


def digest(*labels: int | str) -> int:
    """A 63-bit number from SHA-256 of the labels: the source of every random choice here."""
    text = "\0".join(f"{type(part).__name__}:{part}" for part in labels)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def fraction(*labels: int | str) -> float:
    """A number in [0, 1) from the labels."""
    return digest(*labels) / 2**63
