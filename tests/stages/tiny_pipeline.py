"""A Stable Diffusion pipeline of the real classes, small enough to be built in a test."""

import json
import math
from pathlib import Path

import torch

WORDS = ("a", "red", "mug", "front", "side", "back", "view", "overhead")


def build(
    folder: Path,
    *,
    prediction_type: str = "epsilon",
    closed_vocabulary: bool = False,
    seed: int = 0,
) -> Path:
    """Random weights, 32 x 32 pictures, 4 x 8 x 8 latents; saved by diffusers itself."""
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = _closed_tokenizer() if closed_vocabulary else _byte_tokenizer()
    text_config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=16, projection_dim=16,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1,
        block_out_channels=(8, 16), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=16,
        attention_head_dim=2, norm_num_groups=4,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, latent_channels=4, norm_num_groups=4,
        scaling_factor=0.5, sample_size=32, mid_block_add_attention=False,
    )  # fmt: skip
    parts = {"unet": unet, "vae": vae, "text_encoder": CLIPTextModel(text_config)}
    for number, module in enumerate(parts.values()):
        _fill(module, seed + number)
    pipeline = StableDiffusionPipeline(
        **parts,
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012,
            prediction_type=prediction_type, clip_sample=False, steps_offset=1,
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder


def build_controlled(folder: Path, *, xl: bool = False, seed: int = 0) -> Path:
    """Either with a ControlNet, as diffusers saves its ControlNet pipelines."""
    import diffusers

    kind, options = "StableDiffusion", {"requires_safety_checker": False}
    if xl:
        kind = "StableDiffusionXL"
        options = {"force_zeros_for_empty_prompt": True, "add_watermarker": False}
    (build_xl if xl else build)(folder, seed=seed)
    plain = getattr(diffusers, f"{kind}Pipeline").from_pretrained(folder)
    control = diffusers.ControlNetModel.from_unet(
        plain.unet, conditioning_embedding_out_channels=(4, 8, 8), load_weights_from_unet=False
    )
    _fill(control, seed + 7)
    getattr(diffusers, f"{kind}ControlNetPipeline")(
        **plain.components, controlnet=control, **options
    ).save_pretrained(folder)
    return folder


def build_xl(folder: Path, *, seed: int = 0) -> Path:
    """SDXL's classes and layout: two text encoders, pooled text, sizes as a condition."""
    from diffusers import (
        AutoencoderKL,
        EulerDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = _byte_tokenizer()

    def text_config(width: int) -> CLIPTextConfig:
        return CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=width, intermediate_size=32,
            num_hidden_layers=3, num_attention_heads=2, max_position_embeddings=16,
            projection_dim=12, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip

    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1,
        block_out_channels=(8, 16), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=24,
        attention_head_dim=2, norm_num_groups=4, addition_embed_type="text_time",
        addition_time_embed_dim=8, projection_class_embeddings_input_dim=12 + 6 * 8,
        use_linear_projection=True,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, latent_channels=4, norm_num_groups=4,
        scaling_factor=0.13025, sample_size=32, mid_block_add_attention=True,
    )  # fmt: skip
    parts = {
        "unet": unet,
        "vae": vae,
        "text_encoder": CLIPTextModel(text_config(16)),
        "text_encoder_2": CLIPTextModelWithProjection(text_config(8)),
    }
    for number, module in enumerate(parts.values()):
        _fill(module, seed + number)
    pipeline = StableDiffusionXLPipeline(
        **parts,
        tokenizer=tokenizer,
        tokenizer_2=_byte_tokenizer(),
        scheduler=EulerDiscreteScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1
        ),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def _fill(module: torch.nn.Module, seed: int) -> None:
    """Weights that do not depend on any global random state, about as large as trained ones."""
    rng = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=rng)
        if parameter.ndim > 1:
            parameter.data = noise / math.sqrt(parameter[0].numel())
        else:
            parameter.data = 0.1 * noise + (1.0 if name.endswith("weight") else 0.0)


def _byte_tokenizer():
    """CLIP's own kind, with single letters for its vocabulary."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    names = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{one}</w>" for one in letters)]
    return CLIPTokenizer(
        vocab={name: k for k, name in enumerate(names)}, merges=[], model_max_length=16
    )


def _closed_tokenizer():
    """A word list, as the embedded prior has."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "<bos>", "<eos>", "<unk>", *WORDS]
    words = Tokenizer(models.WordLevel({n: k for k, n in enumerate(names)}, unk_token="<unk>"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>",
        unk_token="<unk>", model_max_length=16,
    )  # fmt: skip


def edit_json(path: Path, **changes: object) -> None:
    """Change entries of a JSON file; None removes one."""
    values = json.loads(path.read_text())
    for name, value in changes.items():
        values.pop(name, None)
        if value is not None:
            values[name] = value
    path.write_text(json.dumps(values))
