"""The parts as one StableDiffusionPipeline directory in float16."""

import json
import shutil
from pathlib import Path

from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from ...pipeline.contract import replacing
from .networks import build_scheduler
from .precision import half


def save_pipeline(
    out: Path,
    *,
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: PreTrainedTokenizerFast,
    view_words: Path,
) -> None:
    """Write what `StableDiffusionPipeline.from_pretrained(out)` loads, and the view words."""
    pipeline = StableDiffusionPipeline(
        vae=half(vae),
        unet=half(unet),
        text_encoder=half(text_encoder),
        tokenizer=tokenizer,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(out)
    # transformers 5 renamed the tokenizer's class and kept the old name as well; transformers 4
    # knows only the old one.
    amend(out / "model_index.json", tokenizer=["transformers", "PreTrainedTokenizerFast"])
    amend(out / "tokenizer" / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    # transformers 5 would compute in the dtype of the file, diffusers in float32: the default
    # of both should go together. The weights stay float16 on disk.
    amend(out / "text_encoder" / "config.json", dtype="float32")
    # Where the parts lay while they were trained is nobody's business.
    amend(out / "vae" / "config.json", _name_or_path="")
    amend(out / "unet" / "config.json", _name_or_path="")
    shutil.copyfile(view_words, out / "view_words.json")


def amend(path: Path, **values: object) -> None:
    """Change entries of a JSON file."""
    contents = json.loads(path.read_text()) | values
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(contents, indent=2) + "\n")
