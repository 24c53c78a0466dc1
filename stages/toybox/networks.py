"""The three networks of the embedded prior and its tokenizer, all of diffusers' and
transformers' own classes, so that the result loads like any other Stable Diffusion pipeline.

Sizes are measured, not guessed; see the tables in `docs/toybox.md`.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from jaxtyping import Float, Int
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

Model = TypeVar("Model", bound=nn.Module)

PAD, UNKNOWN, BEGIN, END = "<pad>", "<unk>", "<bos>", "<eos>"
TIMESTEPS = 1000
FIRST_LOG_VARIANCE = -6.0


def seeded(build: Callable[[], Model], draw: torch.Generator) -> Model:
    """Build a network whose initial values come from `draw`; torch's own state is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(draw.get_state())
        return build()


def build_vae(channels: Sequence[int], *, image_size_px: int) -> AutoencoderKL:
    """Factor 2 per level after the first; no attention: the encoder is in distill's inner loop."""
    levels = len(channels)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=tuple(channels),
        layers_per_block=1,
        latent_channels=4,
        # Toys on flat backgrounds: many groups would take away the color that is to be encoded.
        norm_num_groups=1,
        sample_size=image_size_px,
        mid_block_add_attention=False,
    )
    # Begin with clear latents: at a log variance of 0 the decoder sees only noise, and the
    # first hundreds of steps are spent on learning not to add it.
    with torch.no_grad():
        vae.quant_conv.bias[4:] = FIRST_LOG_VARIANCE
    return vae


def build_unet(
    channels: Sequence[int], heads: Sequence[int], *, latent_size: int, text_width: int
) -> UNet2DConditionModel:
    """Attention everywhere but at the finest level, which is the dearest.

    The text also joins the time embedding (`addition_embed_type="text"`: diffusers pools the
    text encoder's states itself), so kind, color and view reach every level at once and are
    not left to a few cross attentions.
    """
    levels = len(channels)
    unet = UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=4,
        out_channels=4,
        block_out_channels=tuple(channels),
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (levels - 1),
        up_block_types=("CrossAttnUpBlock2D",) * (levels - 1) + ("UpBlock2D",),
        layers_per_block=1,
        cross_attention_dim=text_width,
        # diffusers' name is a historical slip: these are numbers of heads.
        attention_head_dim=tuple(heads),
        norm_num_groups=4,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )
    # On a CPU the backward of torch's fused attention is slower than plain matrix products:
    # 36 against 46 samples per second of a network of this size (bfloat16, one thread).
    unet.set_attn_processor(AttnProcessor())
    # Every residual branch begins as nothing, and so does the answer (Dhariwal & Nichol 2021).
    with torch.no_grad():
        for module in unet.modules():
            if isinstance(module, ResnetBlock2D):
                module.conv2.weight.zero_()
            if isinstance(module, Transformer2DModel):
                module.proj_out.weight.zero_()
        unet.conv_out.weight.zero_()
    return unet


def build_text_encoder(
    tokenizer: PreTrainedTokenizerFast, *, width: int, layers: int
) -> CLIPTextModel:
    """A causal transformer over words, as in Stable Diffusion."""
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            projection_dim=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            max_position_embeddings=tokenizer.model_max_length,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    # CLIP starts with embeddings of 0.02, which the first attention layer drowns; a short
    # training cannot wait until they have grown.
    with torch.no_grad():
        encoder.get_input_embeddings().weight.mul_(25)
        for name, parameter in encoder.named_parameters():
            if name.endswith("position_embedding.weight"):
                parameter.mul_(10)
    return encoder


def build_tokenizer(words: Sequence[str], *, length: int) -> PreTrainedTokenizerFast:
    """A closed list of words: lower case, split at whitespace and commas, hyphens kept."""
    vocabulary = {word: i for i, word in enumerate([PAD, UNKNOWN, BEGIN, END, *sorted(set(words))])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s,.;:!?]+"), behavior="removed")
    inner.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}",
        special_tokens=[(BEGIN, vocabulary[BEGIN]), (END, vocabulary[END])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        model_max_length=length,
        # Lower-casing before special tokens are looked up would lose "<pad>" and its like.
        clean_up_tokenization_spaces=False,
    )


def build_scheduler() -> DDIMScheduler:
    """A cosine schedule: it ends in pure noise.

    With Stable Diffusion's own schedule the mean of 32 x 32 latents (the background) would
    still show at the last timestep, and sampling from pure noise would gray the backgrounds.
    """
    return DDIMScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=True,
    )


@torch.no_grad()
def spread_conditions(
    text_encoder: CLIPTextModel, unet: UNet2DConditionModel, ids: Int[Tensor, "text token"]
) -> None:
    """Make what tells captions apart large and what they share zero, before training.

    The two last norms of the text's way into the denoiser (of the token states, and of their
    pooled sum) get weights and biases that give each channel mean 0 and deviation 1 over some
    captions. Without this one word changes the pooled text by a tenth of its size, the shared
    rest is trained first, and the captions' difference is lost in it: 0.085 at the start, 0.001
    after 1 250 steps.
    """
    states = text_encoder(ids).last_hidden_state
    for name, module in text_encoder.named_modules():
        if name.endswith("final_layer_norm"):
            standardize(module, states.flatten(0, 1))
    states = text_encoder(ids).last_hidden_state
    standardize(unet.add_embedding.norm2, unet.add_embedding(states))


def standardize(norm: Any, seen: Float[Tensor, "sample channel"]) -> None:
    """Change the affine part of a norm so that what was seen has mean 0 and deviation 1."""
    mean, std = seen.mean(0), seen.std(0).clamp(min=0.02)
    norm.bias.copy_((norm.bias - mean) / std)
    norm.weight.div_(std)


def token_ids(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> Int[Tensor, "text token"]:
    """Padded and cut to the tokenizer's length, as StableDiffusionPipeline does it."""
    out: Any = tokenizer(
        list(texts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    return out.input_ids


def min_snr_weight(alphas_cumprod: Float[Tensor, " n"], cap: float) -> Float[Tensor, " n"]:
    """Weight of the squared error of v at each noise level.

        w = (min(SNR, cap) + 1) / (SNR + 1),  SNR = alpha^2 / sigma^2

    which weights the error of x0 by min(SNR, cap) + 1, because the error of v is SNR + 1 times
    that one. It is v's own weighting (Salimans & Ho 2022, section 4) with the SNR capped as by
    Hang et al. (2023); their eq. 10 without the "+ 1" weights x0 by min(SNR, cap), which goes
    to 0 with the SNR. Latents of 32 x 32 show no shape only where the SNR is below 0.05, so
    that is where captions are learned; measured after 784 steps (18 800 samples) of eq. 10,
    the prediction at SNR 0.001 was as bad as none (squared error 1.01, variance 0.98) and a
    wrong caption no worse than the right one.
    """
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return (snr.clamp(max=cap) + 1) / (snr + 1)


def normalize_latents(
    vae: AutoencoderKL, mean: Float[Tensor, " channel"], std: Float[Tensor, " channel"]
) -> None:
    """Fold an affine map into the 1x1 convolutions at both sides of the latents, in place.

    Afterwards latents are (z - mean) / std per channel and images decode as before, so one
    `scaling_factor` suits all channels and the mean of the noise process is right.
    """
    channels = mean.numel()
    quant, post = vae.quant_conv, vae.post_quant_conv
    with torch.no_grad():
        weight = post.weight.clone()
        post.bias += weight[:, :, 0, 0] @ mean
        post.weight *= std[None, :, None, None]
        quant.weight[:channels] /= std[:, None, None, None]
        quant.bias[:channels] = (quant.bias[:channels] - mean) / std
        # The second half holds log variances.
        quant.bias[channels:] -= 2 * std.log()


def psnr_db(first: Float[Tensor, "*shape"], second: Float[Tensor, "*shape"]) -> float:
    """Of values in [0, 1], over everything given."""
    return float(-10 * torch.log10((first - second).square().mean()))
