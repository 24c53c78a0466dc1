"""The CUDA renderer: gsplat 1.5 behind our protocol.

gsplat names, ours: `viewmats` = world_to_camera, `Ks` from focal_px and center_px, `quats` wxyz.
`packed=False`, so that `means2d` is dense and its gradient can be read.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from . import sh
from .checks import check
from .choose import require
from .errors import UnavailableError
from .projection import DILATION_PX2, NEAR_M, drawable, facing_normals, view_directions
from .scene import Cameras, Frames, Gaussians, Output


def render(
    scene: Gaussians,
    cameras: Cameras,
    outputs: frozenset[Output] = frozenset({"rgb", "alpha"}),
) -> Frames:
    """Render on a CUDA device in float32. Makes everything but `median_depth`.

    Differentiable by everything in `scene`; `weights` carries no gradient. `means2d` is undefined
    for Gaussians that are not drawn. The first call ever builds gsplat's kernels (minutes).
    """
    require("gsplat", outputs)
    check("renderers.gsplat", scene, cameras, outputs)
    rasterization = _rasterization(scene.means.device)
    scene = _only_drawable(scene)
    view = {
        "viewmats": cameras.world_to_camera.to(scene.means),
        "Ks": _intrinsics(cameras).to(scene.means),
        "width": cameras.width_px,
        "height": cameras.height_px,
        "near_plane": NEAR_M,
        "eps2d": DILATION_PX2,
        "packed": False,
    }
    splats = {
        "means": scene.means,
        "quats": scene.quaternions,
        "scales": scene.scales,
        "opacities": scene.opacities,
    }
    values = _values(scene, cameras, outputs)
    mode = "RGB+ED" if "depth" in outputs else "RGB"
    images, alpha, meta = rasterization(**splats, **values, **view, render_mode=mode)
    return Frames(
        rgb=images[..., :3] if "rgb" in outputs else None,
        alpha=alpha if "alpha" in outputs else None,
        depth=images[..., -1:] if "depth" in outputs else None,
        normal=images[..., 3:6] if "normal" in outputs else None,
        channels=_channels(images, scene, outputs),
        weights=_weights(rasterization, splats, view) if "weights" in outputs else None,
        means2d=meta["means2d"],
        radii_px=_radii(meta["radii"], meta["conics"]),
        color_space=scene.color_space,
    )


def _rasterization(device: torch.device) -> Callable:
    """`gsplat.rasterization`, or an error that says what is missing."""
    if not torch.cuda.is_available():
        raise UnavailableError(
            "renderer 'gsplat' needs a CUDA device and torch built for it; torch finds none."
            " Use renderer 'cpu' (device cpu)."
        )
    if device.type != "cuda":
        raise ValueError(f"renderers.gsplat: the scene is on {device}, expected a CUDA device.")
    try:
        from gsplat import rasterization
    except ImportError as error:
        raise UnavailableError(
            f"renderer 'gsplat' needs the package gsplat ({error}):"
            " pip install 'gsplat>=1.5.3,<1.6'."
        ) from None
    return rasterization


def _only_drawable(scene: Gaussians) -> Gaussians:
    """Transparent stand-ins for what must not be drawn: gsplat's kernels do not test for NaN."""
    good = drawable(scene)
    identity = scene.quaternions.new_tensor([1, 0, 0, 0])

    def replaced(values: Tensor, stand_in: Tensor | float) -> Tensor:
        shape = (-1, *[1] * (values.ndim - 1))
        return torch.where(good.reshape(shape), values, stand_in).to(torch.float32)

    return Gaussians(
        means=replaced(scene.means, 0.0),
        quaternions=replaced(scene.quaternions, identity),
        scales=replaced(scene.scales, 1.0),
        opacities=replaced(scene.opacities, 0.0),
        sh=replaced(scene.sh, 0.0),
        channels=None if scene.channels is None else replaced(scene.channels, 0.0),
        color_space=scene.color_space,
    )


def _intrinsics(cameras: Cameras) -> Float[Tensor, "camera 3 3"]:
    out = torch.diag_embed(torch.nn.functional.pad(cameras.focal_px, (0, 1), value=1.0))
    out[:, :2, 2] = cameras.center_px
    return out


def _values(scene: Gaussians, cameras: Cameras, outputs: frozenset[Output]) -> dict:
    """SH for gsplat to evaluate; or, with normals or channels, colors and these side by side."""
    if not outputs & {"normal", "channels"}:
        return {"colors": scene.sh, "sh_degree": sh.COUNTS.index(scene.sh.shape[1])}
    blocks = [sh.colors(scene.sh, view_directions(scene.means, cameras))]
    if "normal" in outputs:
        blocks.append(facing_normals(scene, cameras))
    if "channels" in outputs:
        blocks.append(scene.channels.expand(len(blocks[0]), -1, -1))
    return {"colors": torch.cat(blocks, dim=-1), "sh_degree": None}


def _channels(images: Tensor, scene: Gaussians, outputs: frozenset[Output]) -> Tensor | None:
    if "channels" not in outputs:
        return None
    start = 6 if "normal" in outputs else 3
    return images[..., start : start + scene.channels.shape[-1]]


def _weights(rasterization: Callable, splats: dict, view: dict) -> Float[Tensor, "camera n"]:
    """Blending weights summed over the pixels: the gradient of a picture's sum by the colors."""
    fixed = {name: value.detach() for name, value in splats.items()}
    shape = (len(view["viewmats"]), len(fixed["means"]), 1)
    with torch.enable_grad():
        ones = fixed["means"].new_ones(shape).requires_grad_()
        images, _, _ = rasterization(**fixed, colors=ones, sh_degree=None, **view)
        (gradient,) = torch.autograd.grad(images.sum(), ones)
    return gradient[..., 0]


def _radii(radii: Tensor, conics: Float[Tensor, "camera n 3"]) -> Float[Tensor, "camera n"]:
    """Three standard deviations along the longer axis; gsplat's own are rounded, per image axis."""
    a, b, c = conics.detach().unbind(-1)
    smallest = (a + c) / 2 - (((a - c) / 2) ** 2 + b * b).sqrt()
    drawn = (radii > 0).all(dim=-1)
    return torch.where(drawn, 3 / torch.where(drawn, smallest, 1.0).clamp(min=1e-30).sqrt(), 0.0)
