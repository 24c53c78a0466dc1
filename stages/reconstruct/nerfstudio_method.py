"""Our trainer as a nerfstudio method: `ns-train splatworks --data CAPTURE`.

The one file that imports nerfstudio (1.1.5), which loads it through the entry point
`nerfstudio.method_configs`; nothing of ours does. It trains as `pipeline reconstruct` and leaves
what splatfacto leaves, so that ns-viewer, ns-render and `ns-export gaussian-splat` take the run as
one of theirs: `config.yml`, `dataparser_transforms.json` and a checkpoint with Gaussians in
nerfstudio's training coordinates.
"""

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
import torch
from nerfstudio.data.datamanagers.full_images_datamanager import FullImageDatamanagerConfig
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.models.splatfacto import SplatfactoModel, SplatfactoModelConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification
from nerfstudio.utils.rich_utils import CONSOLE
from pytorch_msssim import SSIM
from torchmetrics.image import PeakSignalNoiseRatio

from ...pipeline.contract import Context, replacing
from ...pipeline.errors import InputError, SplatworksError
from ..artifacts import CaptureDir
from ..formats import captures, splats
from ..formats.cameras import opengl_camera_to_world
from ..formats.splats import RawSplats
from ..scene.affine import carried
from . import Config, Inputs, run
from .settings import Density, Surface, Views

AGREEMENT = 1e-3
"""Of the map between the two coordinates, over all cameras, relative to their distances."""
MEMORY_SHARE = 0.8
"""Of what is free now, for the forecast."""


class SplatworksModel(SplatfactoModel):
    """Splatfacto's model as it is loaded, looked at and exported; training is ours.

    Made without seed points (which splatfacto moves to CUDA, even where there is none) and without
    the network that LPIPS downloads, until that is asked for.
    """

    def populate_modules(self) -> None:
        coefficients = (self.config.sh_degree + 1) ** 2
        shapes = {
            "means": (3,), "scales": (3,), "quats": (4,), "features_dc": (3,),
            "features_rest": (coefficients - 1, 3), "opacities": (1,),
        }  # fmt: skip
        # One Gaussian each; loading a checkpoint makes room for as many as it holds.
        self.gauss_params = torch.nn.ParameterDict(
            {name: torch.nn.Parameter(torch.zeros(1, *shape)) for name, shape in shapes.items()}
        )
        self.camera_optimizer = self.config.camera_optimizer.setup(
            num_cameras=self.num_train_data, device="cpu"
        )
        self.psnr = PeakSignalNoiseRatio(data_range=1.0)
        self.ssim = SSIM(data_range=1.0, size_average=True, channel=3)
        self.step = 0
        self.crop_box = None
        self.background_color = torch.zeros(3)

    @property
    def lpips(self) -> torch.nn.Module:
        if "kept_lpips" not in self.__dict__:
            from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

            made = LearnedPerceptualImagePatchSimilarity(normalize=True).to(self.device)
            self.__dict__["kept_lpips"] = made  # No submodule: it belongs in no checkpoint.
        return self.__dict__["kept_lpips"]


@dataclass
class SplatworksModelConfig(SplatfactoModelConfig):
    _target: type = field(default_factory=lambda: SplatworksModel)
    background_color: Literal["random", "black", "white"] = "black"


@dataclass
class SplatworksTrainerConfig(TrainerConfig):
    """nerfstudio's settings, and ours as `pipeline reconstruct` has them."""

    _target: type = field(default_factory=lambda: SplatworksTrainer)
    max_side: int = 1_600
    """Photographs with a longer side are reduced to this many pixels."""
    max_gaussians: int = 300_000
    """Never more than this."""
    strategy: Literal["densify", "mcmc"] = "densify"
    """How Gaussians are added."""
    surface: Literal["off", "density", "sdf"] = "off"
    """Lay the Gaussians flat on a surface, for meshing."""


class SplatworksTrainer:
    """What ns-train calls in the place of nerfstudio's trainer."""

    def __init__(
        self, config: SplatworksTrainerConfig, local_rank: int = 0, world_size: int = 1
    ) -> None:
        if world_size != 1:
            raise InputError(f"splatworks trains on one device, not on {world_size}.")
        self.config = config
        self.base_dir = config.get_base_dir()

    def setup(self, test_mode: str = "val") -> None:
        """Nothing is loaded before training."""

    def train(self) -> None:
        """Train, then write the run. The same line with the same `--timestamp` continues."""
        folder = self.config.pipeline.datamanager.data or self.config.data
        if folder is None:
            raise InputError("splatworks: --data CAPTURE is missing.")
        try:
            self._train(Path(folder))
        except SplatworksError as error:
            CONSOLE.print(f"[bold red]splatworks: {error}")
            raise SystemExit(2) from None

    def _train(self, folder: Path) -> None:
        parsed = _parsed(self.config, folder)
        matrix = capture_to_training(captures.load(folder), parsed)
        own = self.base_dir / "splatworks"
        ctx = _context(self.config, own)
        outputs = run(Inputs(CaptureDir(folder)), _settings(self.config), ctx)
        parsed.save_dataparser_transform(self.base_dir / "dataparser_transforms.json")
        scene = carried(splats.load(outputs.splats.path), matrix)
        step = self.config.max_num_iterations
        target = self.config.get_checkpoint_dir() / f"step-{step:09d}.ckpt"
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            torch.save(checkpoint_of(scene, step), temporary)
        shutil.rmtree(ctx.scratch)
        report = json.loads(outputs.report.path.read_text("utf-8"))
        CONSOLE.print(
            f"{report['gaussians']} Gaussians, {report['psnr_db']} dB on photographs kept aside. "
            f"Export them: ns-export gaussian-splat --load-config {self.base_dir / 'config.yml'} "
            f"--output-dir DIR"
        )


def _parsed(config: SplatworksTrainerConfig, folder: Path) -> DataparserOutputs:
    manager = config.pipeline.datamanager
    manager.dataparser.data = folder
    parser = manager.dataparser.setup()
    parser.downscale_factor = 1  # Or it opens a picture to choose one.
    return parser.get_dataparser_outputs(split="train")


def capture_to_training(capture: captures.Capture, parsed: DataparserOutputs) -> np.ndarray:
    """The similarity (4 x 4) from the capture's coordinates to nerfstudio's training ones.

    From the cameras that both read, whatever the dataparser did to them; all must agree on it. The
    rotation is the one nearest to all turns between two poses of a camera (orthogonal Procrustes),
    the scale that of least squares between centers.
    """
    known = {shot.path.resolve(): shot.world_to_camera for shot in capture.shots}
    theirs = parsed.cameras.camera_to_worlds.double().numpy()
    pairs = [
        (opengl_camera_to_world(torch.from_numpy(known[path.resolve()])).numpy(), pose)
        for path, pose in zip(parsed.image_filenames, theirs, strict=True)
        if path.resolve() in known
    ]
    if len(pairs) < 2:
        raise InputError("splatworks: the dataparser lists none of the capture's photographs.")
    ours, theirs = (np.stack(poses) for poses in zip(*pairs, strict=True))
    u, _, v = np.linalg.svd(np.einsum("nij,nkj->ik", theirs[:, :3, :3], ours[:, :3, :3]))
    places, aims = ours[:, :3, 3] @ (u @ v).T, theirs[:, :3, 3]
    spread = places - places.mean(axis=0)
    scale = float((spread * (aims - aims.mean(axis=0))).sum() / (spread**2).sum())
    matrix = np.eye(4)
    matrix[:3, :3] = scale * u @ v
    matrix[:3, 3] = aims.mean(axis=0) - scale * places.mean(axis=0)
    off = np.abs(scale * places + matrix[:3, 3] - aims).max()
    turned = np.abs(u @ v @ ours[:, :3, :3] - theirs[:, :3, :3]).max()
    if max(off / np.abs(aims).max(), turned) > AGREEMENT:
        raise InputError(
            f"splatworks: the dataparser moved cameras by more than one similarity (off by "
            f"{off:.2g}, turned by {turned:.2g}); give it no option that moves them apart."
        )
    return matrix


def checkpoint_of(scene: RawSplats, step: int) -> dict[str, Any]:
    """As splatfacto keeps Gaussians: raw values, as ours, under its own names."""
    values = {
        "means": scene.means,
        "scales": scene.log_scales,
        "quats": scene.quaternions,
        "features_dc": scene.sh[:, 0],
        "features_rest": scene.sh[:, 1:],
        "opacities": scene.logit_opacities[:, None],
    }
    state = {
        f"_model.gauss_params.{name}": torch.from_numpy(np.ascontiguousarray(value))
        for name, value in values.items()
    }
    return {"step": step, "pipeline": state, "optimizers": {}, "schedulers": {}, "scalers": {}}


def _settings(config: SplatworksTrainerConfig) -> Config:
    return Config(
        iterations=config.max_num_iterations,
        sh_degree=config.pipeline.model.sh_degree,
        views=Views(max_side_px=config.max_side),
        density=Density(max_gaussians=config.max_gaussians, strategy=config.strategy),
        surface=Surface(mode=config.surface),
    )


def _context(config: SplatworksTrainerConfig, folder: Path) -> Context:
    for part in ("out", "scratch"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    log = logging.getLogger("splatworks")
    if not log.handlers:
        logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    return Context(
        out=folder / "out",
        scratch=folder / "scratch",
        log=log,
        progress=_progress,
        seed=config.machine.seed,
        device="cuda" if config.machine.device_type == "cuda" else "cpu",
        threads=len(psutil.Process().cpu_affinity()),
        memory_bytes=int(MEMORY_SHARE * psutil.virtual_memory().available),
    )


@contextmanager
def _progress(title: str, total: int, done: int = 0) -> Iterator[Any]:
    """A line for each tenth."""

    class Bar:
        at = done

        def advance(self, steps: int = 1, note: str = "") -> None:
            before, self.at = self.at, self.at + steps
            if self.at * 10 // total > before * 10 // total:
                CONSOLE.print(f"{title}: {self.at} of {total} {note}")

    yield Bar()


method = MethodSpecification(
    config=SplatworksTrainerConfig(
        method_name="splatworks",
        max_num_iterations=7_000,
        mixed_precision=False,
        pipeline=VanillaPipelineConfig(
            datamanager=FullImageDatamanagerConfig(
                dataparser=NerfstudioDataParserConfig(), cache_images_type="uint8"
            ),
            model=SplatworksModelConfig(),
        ),
        optimizers={},
        vis="tensorboard",
    ),
    description="Gaussian splats by Splatworks, on a CPU or a GPU; exported as splatfacto's are.",
)
