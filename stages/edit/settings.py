"""Groups of settings that `Config` is made of. Imports nothing heavy."""

from dataclasses import dataclass


def _not_negative(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if not value >= 0:
            raise ValueError(f"{name} must not be negative, got {value}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """The positional loss: optimal transport between tiles of the render and of the picture."""

    weight: float = 20.0
    """Times the mean squared distance to where tiles belong, in units of the box's longer side;
    0 leaves the positional loss out."""
    until_share: float = 0.5
    """From this share of the iterations on, only the photometric loss is left."""
    color: float = 0.7
    """lambda: how much colors count against places in the cost of moving."""
    blur: float = 0.003
    """eps of the entropy."""
    leaving: float | None = 0.3
    """rho: what it costs to leave mass behind, so that objects may change size or leave the
    picture; null: everything has to arrive."""
    every: int = 3
    """Iterations between two matchings."""
    pairs: float = 0.5
    """Weight of the pixel pairs, given or found."""
    find_pairs: bool = True
    """Look for patches of the scene's picture in the edited one, where no pairs are given."""
    covariance: bool = False
    """Also pull at the Gaussians' image covariances (the paper's full reparameterization)."""

    def __post_init__(self) -> None:
        _not_negative(self, "weight", "pairs")
        if not 0 < self.color < 1:
            raise ValueError(f"color must lie in (0, 1), got {self.color}.")
        if not 0 <= self.until_share <= 1:
            raise ValueError(f"until_share must lie in 0..1, got {self.until_share}.")
        if not self.blur > 0 or not (self.leaving is None or self.leaving > 0):
            raise ValueError(f"blur and leaving must be positive, got {self.blur}, {self.leaving}.")
        if self.every < 1:
            raise ValueError(f"every must be at least 1, got {self.every}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rigidity:
    """Weights of what keeps neighbors together; all terms are free of units."""

    arap: float = 2.0
    rotation: float = 0.5
    distance: float = 0.2
    adaptive: bool = True
    """Edges may learn to give way."""
    gives_way: float = 0.15
    """Strain (change of length over length, or radians) at which an edge gives way, roughly."""
    reset_every: int = 50
    """Iterations between two resets of the masks."""
    eta: float = 0.05
    """Masks are lifted to at least this at a reset."""
    mask_rate: float = 0.1
    settled: float = 0.4
    """What holds the anchors counts so much once matching is over: by then they are about where
    they belong, and joints are to bend as sharply as the picture says."""

    def __post_init__(self) -> None:
        _not_negative(self, "settled")
        _not_negative(self, "arap", "rotation", "distance", "gives_way", "mask_rate")
        if not 0 < self.eta < 1:
            raise ValueError(f"eta must lie in (0, 1), got {self.eta}.")
        if self.reset_every < 0:
            raise ValueError(f"reset_every must not be negative, got {self.reset_every}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coarse:
    """The first stage: anchors move, Gaussians follow."""

    iterations: int = 300
    anchors: int = 400
    edges: int = 8
    """Neighbors of an anchor."""
    skin: int = 8
    """Anchors that a Gaussian hangs on, at most."""
    along_surface: bool = True
    """Neighbors are those that are near along the surface, not through the air."""
    limbs: bool = True
    """Try limbs in other poses, first and again when matching is over."""
    place_rate: float = 0.006
    """Adam's step length, in units of the edit's box at the depth of what is edited."""
    turn_rate: float = 0.02
    own_share: float = 0.3
    """Rates of what each anchor does by itself, against what it does with its surroundings."""
    smoothing: float = 30.0
    """How far these reach: the square, in edges."""
    hold: float = 0.4
    """Rates stay as they are for this share of the iterations: the way has to be gone, however
    long it is."""
    last_rate: float = 0.05
    """Then they fall to this share."""
    group_iterations: int = 150
    """Afterwards, of rigid groups of anchors."""
    group_rate: float = 0.003
    """Their step length, in units of the edit's box and in radians."""
    stay: float = 0.02
    """What it costs an anchor to leave its place at all, however far it goes."""

    def __post_init__(self) -> None:
        _not_negative(self, "iterations", "place_rate", "turn_rate", "own_share")
        _not_negative(self, "smoothing", "stay", "group_iterations", "group_rate")
        for name in ("anchors", "edges", "skin"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 <= self.hold < 1:
            raise ValueError(f"hold must lie in [0, 1), got {self.hold}.")
        if not 0 < self.last_rate <= 1:
            raise ValueError(f"last_rate must lie in (0, 1], got {self.last_rate}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fine:
    """The second stage: Gaussians move by themselves."""

    iterations: int = 200
    place_rate: float = 0.0005
    """In units of the edit's box at the depth of what is edited."""
    turn_rate: float = 0.004
    scale_rate: float = 0.004
    last_rate: float = 0.1
    scale_price: float = 0.05
    """Weight of L_scale."""
    edges: int = 6
    """Neighbors of a Gaussian."""

    def __post_init__(self) -> None:
        _not_negative(self, "iterations", "place_rate", "turn_rate", "scale_rate", "scale_price")
        if self.edges < 1:
            raise ValueError(f"edges must be at least 1, got {self.edges}.")
        if not 0 < self.last_rate <= 1:
            raise ValueError(f"last_rate must lie in (0, 1], got {self.last_rate}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Texture:
    """Repainting: colors change, geometry does not."""

    keep: float = 0.5
    """Weight of a Gaussian's own color against one pixel that shows it in full."""
    iterations: int = 60
    """Of conjugate gradients, each time."""
    rounds: int = 3
    """How often Gaussians that the picture is too fine for are split; 0: never."""
    split_above: float = 0.03
    """Mean color error from which on a Gaussian is split."""
    most_share: float = 0.5
    """Splitting adds at most so many of the scene's Gaussians."""

    def __post_init__(self) -> None:
        _not_negative(self, "keep", "iterations", "rounds", "split_above", "most_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Taking out what the edited picture shows no more."""

    iterations: int = 120
    rate: float = 0.1
    """Step length of the presences' logits."""
    smooth: float = 0.2
    """How strongly neighbors stay or go together."""

    def __post_init__(self) -> None:
        _not_negative(self, "iterations", "rate", "smooth")
