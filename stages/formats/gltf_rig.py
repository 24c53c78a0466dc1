"""Nodes, skins and animations of a glTF document."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .gltf_document import Document
from .model import Rig

DEEPEST = 1000
"""No scene nests nodes so deep; one that seems to runs in a circle."""
Matrices = dict[int, np.ndarray]


@dataclass(frozen=True, slots=True)
class Skeleton:
    """How the parts of a scene become one skinned mesh."""

    rig: Rig
    of_skin: dict[int, np.ndarray]
    """Per drawn node with a skin: the rig's joint for each joint of that skin."""
    rigid: dict[int, tuple[np.ndarray, int]]
    """Per drawn node without one: its matrix into the bind pose, and its joint."""


def world_matrices(document: Document) -> Matrices:
    """Of every node that the scene shows, in the order in which a scene is walked."""
    nodes = document.table("nodes")
    found: Matrices = {}
    waiting = [(root, np.eye(4), 0) for root in reversed(_roots(document))]
    while waiting:
        index, parent, depth = waiting.pop()
        node = nodes[index]
        if index in found or depth > DEEPEST:
            raise ValueError(f"node {index} hangs under two nodes, or under itself")
        found[index] = parent @ _local(node)
        waiting += [
            (child, found[index], depth + 1) for child in reversed(node.get("children", []))
        ]
    return found


def hidden(document: Document, worlds: Matrices) -> set[int]:
    """Nodes that KHR_node_visibility switches off, and all that hang under them."""
    nodes = document.table("nodes")
    found: set[int] = set()
    for index in worlds:  # Parents come before their children.
        switch = nodes[index].get("extensions", {}).get("KHR_node_visibility", {})
        if index in found or not switch.get("visible", True):
            found |= {index, *nodes[index].get("children", [])}
    return found


def read_skeleton(
    document: Document, worlds: Matrices, drawn: list[int]
) -> tuple[Skeleton | None, list[str]]:
    """The one skeleton that moves all drawn nodes, or none; and what has to be said about it."""
    nodes = document.table("nodes")
    skinned = [node for node in drawn if "skin" in nodes[node]]
    if not skinned:
        moves = ["animations of parts are left out"] if document.table("animations") else []
        return None, moves
    joints: list[int] = []
    binds: list[np.ndarray] = []
    of_skin: dict[int, np.ndarray] = {}
    for node in skinned:
        skin = document.table("skins")[nodes[node]["skin"]]
        own = _inverse_binds(document, skin)
        numbers = []
        for joint, bind in zip(skin["joints"], own, strict=True):
            if joint not in joints:
                joints.append(joint)
                binds.append(bind)
            elif not np.allclose(binds[joints.index(joint)], bind, atol=1e-5):
                return None, ["its skins disagree about one bone, so that it is left in its pose"]
            numbers.append(joints.index(joint))
        of_skin[node] = np.array(numbers, np.int64)
    rigid = {}
    for node in (n for n in drawn if n not in of_skin):
        into = _into_bind(document, node, worlds, joints, binds)
        if node not in joints:
            joints.append(node)
            binds.append(np.linalg.inv(worlds[node]) @ np.linalg.inv(into))
        rigid[node] = (into @ worlds[node], joints.index(node))
    return Skeleton(_rig(document, joints, binds), of_skin, rigid), []


def _roots(document: Document) -> list[int]:
    scenes = document.table("scenes")
    if scenes:
        return list(scenes[document.json.get("scene", 0)].get("nodes", []))
    nodes = document.table("nodes")
    children = {child for node in nodes for child in node.get("children", [])}
    return [index for index in range(len(nodes)) if index not in children]


def _local(node: dict[str, Any]) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    x, y, z, w = (float(value) for value in node.get("rotation", (0, 0, 0, 1)))
    length = (x * x + y * y + z * z + w * w) ** 0.5 or 1.0
    x, y, z, w = x / length, y / length, z / length, w / length
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix[:3, :3] = rotation * np.array(node.get("scale", (1, 1, 1)), np.float64)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def _inverse_binds(document: Document, skin: dict[str, Any]) -> np.ndarray:
    count = len(skin["joints"])
    if "inverseBindMatrices" not in skin:
        return np.tile(np.eye(4), (count, 1, 1))
    values = document.floats(skin["inverseBindMatrices"])[:count].astype(np.float64)
    matrices = values.reshape(count, 4, 4).transpose(0, 2, 1).copy()
    # Rounded on their way, some end in 1.0000001, which validators refuse.
    if np.allclose(matrices[:, 3], [0, 0, 0, 1], atol=1e-5):
        matrices[:, 3] = [0, 0, 0, 1]
    return matrices


def _into_bind(
    document: Document,
    node: int,
    worlds: Matrices,
    joints: list[int],
    binds: list[np.ndarray],
) -> np.ndarray:
    """From the world at rest to the bind pose, by the nearest bone above `node`."""
    parents = {
        child: index
        for index, entry in enumerate(document.table("nodes"))
        for child in entry.get("children", [])
    }
    above: int | None = node
    while above is not None and above not in joints:
        above = parents.get(above)
    if above is None:
        return np.eye(4)
    return np.linalg.inv(worlds[above] @ binds[joints.index(above)])


def _rig(document: Document, joints: list[int], binds: list[np.ndarray]) -> Rig:
    """Keeps names, transforms and animations; drops what the new file will not have, and what
    glTF 2.0 does not know."""
    kept = {"name", "children", "matrix", "translation", "rotation", "scale", "extras"}
    nodes = tuple(
        {key: value for key, value in node.items() if key in kept}
        for node in document.table("nodes")
    )
    places: dict[int, int] = {}
    animations = tuple(_animation(entry, places) for entry in document.table("animations"))
    accessors = document.table("accessors")
    return Rig(
        nodes=nodes,
        roots=tuple(_roots(document)),
        joints=tuple(joints),
        inverse_binds=np.array([b.T.reshape(16) for b in binds], np.float32).reshape(-1, 16),
        animations=tuple(entry for entry in animations if entry["channels"]),
        arrays=tuple(document.accessor(index) for index in places),
        normalized=tuple(bool(accessors[index].get("normalized")) for index in places),
    )


def _animation(entry: dict[str, Any], places: dict[int, int]) -> dict[str, Any]:
    """Without the channels of morph targets; accessors counted anew in `places`."""
    paths = ("translation", "rotation", "scale")
    channels = [c for c in entry["channels"] if c["target"].get("path") in paths]
    channels = [c for c in channels if "node" in c["target"]]
    kept = sorted({channel["sampler"] for channel in channels})
    samplers = []
    for index in kept:
        sampler = dict(entry["samplers"][index])
        for end in ("input", "output"):
            sampler[end] = places.setdefault(sampler[end], len(places))
        samplers.append(sampler)
    renamed = [
        {"sampler": kept.index(c["sampler"]),
         "target": {"node": c["target"]["node"], "path": c["target"]["path"]}}
        for c in channels
    ]  # fmt: skip
    name = {"name": entry["name"]} if "name" in entry else {}
    return {**name, "channels": renamed, "samplers": samplers}
