"""Runs inside of nerfstudio's environment: what it makes of our files, as JSON on the last line."""

import json
import sys
from pathlib import Path

import torch
from nerfstudio.cameras.camera_paths import get_path_from_json
from nerfstudio.configs.method_configs import all_methods
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

capture, path = map(Path, sys.argv[1:])
config = NerfstudioDataParserConfig(
    data=capture, orientation_method="none", center_method="none", auto_scale_poses=False,
    eval_mode="all", downscale_factor=1,
)  # fmt: skip
parsed = config.setup().get_dataparser_outputs(split="train")
cameras = get_path_from_json(json.loads(path.read_text()))
found = {
    "method": type(all_methods["splatworks"]).__name__,
    "files": [name.name for name in parsed.image_filenames],
    "poses": parsed.cameras.camera_to_worlds.tolist(),
    "focal_px": parsed.cameras.fx.flatten().tolist(),
    "path_poses": cameras.camera_to_worlds.tolist(),
    "path_focal_px": cameras.fx.flatten().tolist(),
    "path_height_px": int(cameras.height.flatten()[0]),
    "torch": torch.__version__,
}
print(json.dumps(found))
