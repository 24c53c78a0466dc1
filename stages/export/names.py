"""Names that every tool keeps as they are: letters, digits and `_`, not first a digit."""

import re
import unicodedata

LONGEST = 64
RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"{p}{n}" for p in ("com", "lpt") for n in range(1, 10))}
)
"""No file may be called so on Windows, whatever its ending."""


def clean(text: str, fallback: str = "asset") -> str:
    """The nearest allowed name: accents dropped, all else that is not allowed turned into `_`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")[:LONGEST].rstrip("_")
    if not name:
        return fallback
    if name[0].isdigit() or name.lower() in RESERVED:
        return f"_{name}"
    return name


def prefixed(prefix: str, name: str) -> str:
    """`SM_ship`, once only."""
    return name if name.lower().startswith(prefix.lower()) else f"{prefix}{name}"


def distinct(texts: list[str], fallback: str) -> list[str]:
    """Clean names, no two alike even where upper and lower case are the same."""
    taken: set[str] = set()
    found = []
    for text in texts:
        name = first = clean(text, fallback)
        number = 1
        while name.lower() in taken:
            number += 1
            name = f"{first}_{number}"
        taken.add(name.lower())
        found.append(name)
    return found
