"""A scene being edited: do, undo, redo, and the script of it all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...pipeline.errors import ConfigError, InputError
from ..formats import edits as scripts
from ..formats.edits import Edit, Retouch, Script, Stitch
from .layers import Scene, load
from .operations import Outcome, perform

KEPT = 16
"""Latest states that are held for undo; older ones are made again from the last one held before."""
Perform = Callable[[Scene, Edit], Outcome]


def opened(names: Sequence[str], paths: Sequence[Path]) -> Scene:
    """One layer per file."""
    return Scene(tuple(load(name, path) for name, path in zip(names, paths, strict=True)))


def replayed(
    scene: Scene,
    edits: Sequence[Edit],
    where: str = "",
    told: Callable[[str, Outcome], None] | None = None,
    perform: Perform = perform,
) -> Scene:
    """The scene after all edits in turn.

    Args:
        where: The script's name, for messages.
        told: Is called after every edit with its place in the script and the outcome.
        perform: Does one edit.
    """
    for number, edit in enumerate(edits, 1):
        place = f"edit {number} ({type(edit).__name__.lower()})"
        try:
            outcome = perform(scene, edit)
        except (InputError, ConfigError) as error:
            start = f"{where}: {place}" if where else place
            raise type(error)(f"{start}: {str(error).rstrip('.')}.") from None
        scene = outcome.scene
        if told is not None:
            told(place, outcome)
    return scene


@dataclass(slots=True)
class Session:
    """State of an editor. Scenes share what did not change between them, so holding some is
    cheap; the beginning is always held, so undoing everything is exact and needs no computing.
    So is what comes out of a stitch or a retouched picture, which takes long to make again."""

    start: Scene
    edits: list[Edit] = field(default_factory=list)
    undone: list[Edit] = field(default_factory=list)
    perform: Perform = perform
    _states: dict[int, Scene] = field(default_factory=dict)
    _later: list[Scene] = field(default_factory=list)
    """What was undone led to these, in the order of `undone`."""

    def __post_init__(self) -> None:
        self._states[0] = self.start
        self._replay(0)

    @property
    def scene(self) -> Scene:
        """As it is now."""
        return self._states[len(self.edits)]

    def do(self, edit: Edit) -> Outcome:
        """One more edit. If it fails, nothing has happened."""
        outcome = self.perform(self.scene, edit)
        self.edits.append(edit)
        self.undone.clear()
        self._later.clear()
        self._hold(len(self.edits), outcome.scene)
        return outcome

    def undo(self) -> bool:
        """Take the last edit back; False where there is none."""
        if not self.edits:
            return False
        self._later.append(self._states.pop(len(self.edits)))
        self.undone.append(self.edits.pop())
        count = len(self.edits)
        if count not in self._states:
            self._replay(max(index for index in self._states if index < count))
        return True

    def redo(self) -> bool:
        """Do the edit that was last taken back; False where there is none."""
        if not self.undone:
            return False
        self.edits.append(self.undone.pop())
        self._hold(len(self.edits), self._later.pop())
        return True

    def script(self) -> Script:
        """What leads from the files to the scene as it is now."""
        return Script(tuple(layer.name for layer in self.start.layers), tuple(self.edits))

    def save_script(self, path: Path) -> Path:
        return scripts.save(self.script(), path)

    def _replay(self, known: int) -> None:
        """Make the states after the one numbered `known` again, up to now."""
        for index in range(known, len(self.edits)):
            self._hold(index + 1, self.perform(self._states[index], self.edits[index]).scene)

    def _hold(self, count: int, scene: Scene) -> None:
        """The state after `count` edits; of those before it, the newest, the first and what took
        long to make stay."""
        self._states[count] = scene
        for index in [index for index in self._states if 0 < index <= count - KEPT]:
            if not isinstance(self.edits[index - 1], Stitch | Retouch):
                del self._states[index]
