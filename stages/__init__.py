"""The methods. A stage is one entry of this table; listing it imports nothing heavy."""

from collections.abc import Mapping
from types import MappingProxyType

STAGES: Mapping[str, str] = MappingProxyType(
    {
        "shape": f"{__name__}.shape",
        "distill": f"{__name__}.distill",
        "poses": f"{__name__}.poses",
        "reconstruct": f"{__name__}.reconstruct",
        "nerfstudio": f"{__name__}.nerfstudio",
        "mesh": f"{__name__}.mesh",
        "surface": f"{__name__}.surface",
        "evaluate": f"{__name__}.evaluate",
        "bind": f"{__name__}.bound",
        "pose": f"{__name__}.bound.pose",
        "texture": f"{__name__}.texture",
        "text-texture": f"{__name__}.text_texture",
        "bake": f"{__name__}.texture.bake",
        "simplify": f"{__name__}.simplify",
        "export": f"{__name__}.export",
        "export-dcc": f"{__name__}.export.dcc",
        "preview": f"{__name__}.preview",
        "check": f"{__name__}.check",
        "convert": f"{__name__}.convert",
        "apply": f"{__name__}.apply",
        "stitch": f"{__name__}.stitch",
        "fit-image": f"{__name__}.fit.image",
        "fit-sdf": f"{__name__}.fit.sdf",
        "edit": f"{__name__}.edit",
        "track": f"{__name__}.edit.track",
        "render": f"{__name__}.render",
        "toybox-props": f"{__name__}.toybox.props",
        "toybox-images": f"{__name__}.toybox.images",
        "toybox-captions": f"{__name__}.toybox.captions",
        "toybox-train-vae": f"{__name__}.toybox.train_vae",
        "toybox-latents": f"{__name__}.toybox.latents",
        "toybox-train-unet": f"{__name__}.toybox.train_unet",
        "toybox-train-scorer": f"{__name__}.toybox.scorer.train",
    }
)
