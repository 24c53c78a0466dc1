"""The scorer on disk: half-precision weights, what it knows, and how well it does at best."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ....pipeline.contract import replacing
from ....pipeline.errors import InputError
from ..precision import half
from .network import ScorerNetwork

SHIPPED = Path(__file__).parents[3] / "data" / "scorer"
WEIGHTS, WORDS = "scorer.safetensors", "scorer.json"
FORMAT = "toybox-scorer/1"


@dataclass(frozen=True, slots=True)
class Scorer:
    """A trained network and what is known of it."""

    network: ScorerNetwork
    facts: Mapping[str, Sequence[str]]
    """What each fact can be, in the network's order."""
    ceiling: Mapping[str, Any]
    """Accuracies on held-out true pictures; see `ceiling.measure`."""


def save(scorer: Scorer, folder: Path) -> None:
    """Write both files."""
    weights = dict(half(scorer.network).state_dict())
    with replacing(folder / WEIGHTS) as temporary:
        save_file(weights, temporary)
    described = {
        "format": FORMAT,
        "channels": scorer.network.channels,
        "width": scorer.network.width,
        "facts": {name: list(values) for name, values in scorer.facts.items()},
        "ceiling": scorer.ceiling,
    }
    with replacing(folder / WORDS) as temporary:
        temporary.write_text(json.dumps(described, indent=1) + "\n", "utf-8")


def load(folder: Path = SHIPPED) -> Scorer:
    """Read both files, strictly; computes in float32.

    Raises:
        InputError: They are not there, or no scorer.
    """
    try:
        described = json.loads((folder / WORDS).read_text("utf-8"))
        if described["format"] != FORMAT:
            raise ValueError(f"format {described['format']!r}, expected {FORMAT!r}")
        facts = {name: tuple(values) for name, values in described["facts"].items()}
        network = ScorerNetwork(described["channels"], described["width"], facts)
        network.load_state_dict(load_file(folder / WEIGHTS))
        ceiling = described["ceiling"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"{folder} is not a scorer ({WEIGHTS}, {WORDS}): {error}. "
            "Train one with the stage toybox-train-scorer."
        ) from error
    return Scorer(network=network.float().eval(), facts=facts, ceiling=ceiling)
