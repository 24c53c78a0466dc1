"""The objects of an FBX scene, their identifiers, and what is connected to what."""

from dataclasses import dataclass
from typing import Any

from .fbx_container import Int64, Record

FIRST_ID = 1_000_000

LABELS = {
    "int": ("int", "Integer", ""),
    "enum": ("enum", "", ""),
    "bool": ("bool", "", ""),
    "double": ("double", "Number", ""),
    "Number": ("Number", "", "A"),
    "Distance": ("Distance", "", ""),
    "KString": ("KString", "", ""),
    "KTime": ("KTime", "Time", ""),
    "ColorRGB": ("ColorRGB", "Color", ""),
    "Color": ("Color", "", "A"),
    "Vector3D": ("Vector3D", "Vector", ""),
    "Lcl Translation": ("Lcl Translation", "", "A"),
    "Lcl Rotation": ("Lcl Rotation", "", "A"),
    "Lcl Scaling": ("Lcl Scaling", "", "A"),
}
"""Type, sub-type and flags as the SDK writes them (A: may be animated)."""


def properties(*entries: tuple[str, str, Any]) -> Record:
    """A `Properties70` record of (name, type, value)."""
    record = Record("Properties70")
    for name, kind, value in entries:
        values = value if isinstance(value, tuple) else (value,)
        if kind == "KTime":
            values = tuple(Int64(one) for one in values)
        record.add("P", name, *LABELS[kind], *values)
    return record


@dataclass(frozen=True, slots=True)
class Object:
    id: int
    record: Record


class Objects:
    """Collects objects and connections. Identifiers are counted, so that files are repeatable."""

    def __init__(self) -> None:
        self._objects: list[Object] = []
        self._connections: list[Record] = []

    def add(self, kind: str, name: str, subtype: str) -> Object:
        """A new object of a class such as Model, with its full name."""
        number = FIRST_ID + len(self._objects)
        self._objects.append(Object(number, Record(kind, (Int64(number), name, subtype))))
        return self._objects[-1]

    def connect(self, child: int, parent: int, slot: str | None = None) -> None:
        """`child` belongs to `parent` (0 is the scene), or feeds its property `slot`."""
        values: tuple[Any, ...] = ("OO" if slot is None else "OP", Int64(child), Int64(parent))
        self._connections.append(Record("C", values if slot is None else (*values, slot)))

    def records(self) -> Record:
        return Record("Objects", (), [one.record for one in self._objects])

    def connections(self) -> Record:
        return Record("Connections", (), self._connections)

    def definitions(self) -> Record:
        """How many objects of each class there are. Templates are left out: every property that
        matters is written out."""
        counts: dict[str, int] = {"GlobalSettings": 1}
        for one in self._objects:
            counts[one.record.name] = counts.get(one.record.name, 0) + 1
        record = Record("Definitions")
        record.add("Version", 100)
        record.add("Count", sum(counts.values()))
        for kind, count in counts.items():
            record.add("ObjectType", kind).add("Count", count)
        return record
