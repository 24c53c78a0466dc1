"""Stable Diffusion 1.x, 2.x and XL, and anything else in their diffusers layouts, as guidance.

The one file that imports diffusers and transformers. Everything is read from a local directory,
offline, from safetensors only. The image encoder stays in float32 (in half precision its backward
pass overflows); the UNet is float16 on CUDA and float32 on the CPU.
"""

import copy
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...pipeline.errors import InputError
from .control import additions, check_fit
from .layout import (
    check_tokenizer,
    check_weights,
    fingerprint,
    has_control,
    read_index,
    read_json,
    text_endings,
)
from .protocol import Condition, Prediction
from .text import TextEncoder, embed_double, embed_single, network_arguments, unknown_words
from .view_words import ViewWords
from .view_words import load as load_view_words

PREDICTIONS = ("epsilon", "v_prediction", "sample")
CACHED_MODELS = 2
_CACHE: "OrderedDict[tuple[object, ...], DiffusionGuidance]" = OrderedDict()
_CACHE_LOCK = threading.Lock()
HARMLESS = ("position_ids",)
"""Endings of names of constants that some files hold and some do not."""


class DiffusionGuidance:
    """A loaded pipeline. Immutable after construction; may be used from several threads."""

    def __init__(
        self,
        *,
        unet: nn.Module,
        vae: nn.Module,
        text_encoders: Sequence[TextEncoder],
        scheduler_config: Mapping[str, Any],
        view_words: ViewWords,
        device: str = "cpu",
        unet_dtype: torch.dtype | None = None,
        empty_is_zero: bool = False,
        control: nn.Module | None = None,
    ) -> None:
        if unet_dtype is None:
            unet_dtype = torch.float32 if torch.device(device).type == "cpu" else torch.float16
        self.unet = _frozen(unet, device, unet_dtype)
        self.vae = _frozen(vae, device, torch.float32)
        self.control = None if control is None else _frozen(control, device, unet_dtype)
        self.text_encoders = tuple(
            TextEncoder(each.tokenizer, _frozen(each.network, device, torch.float32))
            for each in text_encoders
        )
        self._empty_is_zero = empty_is_zero
        self.device = torch.device(device)
        self.unet_dtype = unet_dtype
        self._view_words = view_words
        self.prediction_type = scheduler_config.get("prediction_type", "epsilon")
        if self.prediction_type not in PREDICTIONS:
            raise InputError(f"prediction_type {self.prediction_type!r} is none of {PREDICTIONS}.")
        self._alphas_cumprod = alphas_cumprod_of(scheduler_config).to(device)
        blocks = len(vae.config.block_out_channels)
        self._image_size = int(unet.config.sample_size) * 2 ** (blocks - 1)
        self._latent_scale = float(vae.config.scaling_factor)
        self._latent_shift = float(getattr(vae.config, "shift_factor", None) or 0.0)

    @property
    def alphas_cumprod(self) -> Float[Tensor, " timestep"]:
        return self._alphas_cumprod

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        side = int(self.unet.config.sample_size)
        return int(self.unet.config.in_channels), side, side

    @property
    def image_size(self) -> int:
        return self._image_size

    @property
    def view_words(self) -> ViewWords:
        return self._view_words

    def embed(self, texts: Sequence[str]) -> Condition:
        if not self.text_encoders:
            raise ValueError("the text encoders were freed: embed all texts before that.")
        if len(self.text_encoders) == 1:
            return embed_single(self.text_encoders[0], texts)
        return embed_double(
            self.text_encoders, texts, self._image_size, empty_is_zero=self._empty_is_zero
        )

    def without_text(self) -> "DiffusionGuidance":
        """The same networks without the text encoders, which it lets go of."""
        lighter = copy.copy(self)
        lighter.text_encoders = ()
        return lighter

    def encode(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch channel latent_height latent_width"]:
        encoded = self.vae.encode(images.to(self.device, torch.float32) * 2 - 1)
        # The mean of a distribution: sampling would add noise to the gradient.
        is_random = hasattr(encoded, "latent_dist")
        latents = encoded.latent_dist.mean if is_random else encoded.latents
        return (latents - self._latent_shift) * self._latent_scale

    def decode(
        self, latents: Float[Tensor, "batch channel latent_height latent_width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        raw = latents.to(self.device, torch.float32) / self._latent_scale + self._latent_shift
        return (self.vae.decode(raw).sample + 1) / 2

    @torch.no_grad()
    def predict(
        self,
        z_t: Float[Tensor, "batch channel height width"],
        t: Int[Tensor, " batch"],
        condition: Condition,
    ) -> Prediction:
        return self.predict_with(self.unet, z_t, t, condition)

    def predict_with(
        self,
        network: Callable[..., Any],
        z_t: Float[Tensor, "batch channel height width"],
        t: Int[Tensor, " batch"],
        condition: Condition,
    ) -> Prediction:
        """As `predict`, of a network that is called as the UNet is; keeps the graph."""
        z_t, t = z_t.to(self.device), t.to(self.device)
        asked = z_t.to(self.unet_dtype)
        arguments = network_arguments(condition, asked)
        arguments |= additions(self.control, asked, t, condition, arguments)
        out = network(asked, t, **arguments).sample
        return to_prediction(
            out.to(z_t.dtype), z_t, self._alphas_cumprod.to(z_t.dtype)[t], self.prediction_type
        )

    def view_text(self, prompt: str, azimuth_deg: float, elevation_deg: float) -> str:
        return self._view_words.text(prompt, azimuth_deg, elevation_deg)

    def unknown_words(self, text: str) -> list[str]:
        """Words that become the tokenizer's unknown token. Byte-level tokenizers know all."""
        return unknown_words(self.text_encoders[0].tokenizer, text)


def _frozen(module: nn.Module, device: str, dtype: torch.dtype) -> nn.Module:
    # Of the base class: diffusers' own `to` warns about each change of precision.
    nn.Module.to(module, device=device, dtype=dtype)
    return module.eval().requires_grad_(False)


def to_prediction(
    out: Float[Tensor, "batch channel height width"],
    z_t: Float[Tensor, "batch channel height width"],
    alphas_cumprod: Float[Tensor, " batch"],
    prediction_type: str,
) -> Prediction:
    """Noise and denoised latents from whatever the network was trained to give.

    epsilon       x0 = (z_t - sigma eps) / alpha
    v_prediction  v = alpha eps - sigma x0:  eps = alpha v + sigma z_t, x0 = alpha z_t - sigma v
    sample        eps = (z_t - alpha x0) / sigma
    """
    a = alphas_cumprod.view(-1, 1, 1, 1)
    alpha, sigma = a.sqrt(), (1 - a).sqrt()
    if prediction_type == "epsilon":
        return Prediction(eps=out, x0=(z_t - sigma * out) / alpha)
    if prediction_type == "v_prediction":
        return Prediction(eps=alpha * out + sigma * z_t, x0=alpha * z_t - sigma * out)
    return Prediction(eps=(z_t - alpha * out) / sigma, x0=out)


def alphas_cumprod_of(scheduler_config: Mapping[str, Any]) -> Float[Tensor, " timestep"]:
    """The noise schedule of a `scheduler_config.json`, whichever scheduler class wrote it."""
    from diffusers import DDIMScheduler

    names = (
        "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas",
        "rescale_betas_zero_snr",
    )  # fmt: skip
    known = {name: scheduler_config[name] for name in names if name in scheduler_config}
    return DDIMScheduler(**known).alphas_cumprod.clone()


def load(
    model_dir: Path, device: str = "cpu", unet_dtype: torch.dtype | None = None
) -> DiffusionGuidance:
    """Read a pipeline directory, or give the one already in memory.

    The last `CACHED_MODELS` models stay loaded in the process, told apart by path, device,
    precision and the size and time of each file; `forget` empties the store.
    """
    model_dir = Path(model_dir)
    index = read_index(model_dir)
    key = (fingerprint(model_dir), device, unet_dtype)
    with _CACHE_LOCK:
        if key not in _CACHE:
            while len(_CACHE) >= CACHED_MODELS:
                _CACHE.popitem(last=False)
            _CACHE[key] = _read(model_dir, index, device, unet_dtype)
        _CACHE.move_to_end(key)
        return _CACHE[key]


def forget() -> None:
    """Drop all cached models."""
    with _CACHE_LOCK:
        _CACHE.clear()


def _read(
    model_dir: Path, index: Mapping[str, Any], device: str, unet_dtype: torch.dtype | None
) -> DiffusionGuidance:
    view_words = load_view_words(model_dir)
    scheduler_config = read_json(model_dir / "scheduler" / "scheduler_config.json")
    networks = {part: _read_module(model_dir / part, *index[part]) for part in ("unet", "vae")}
    if has_control(index):
        networks["control"] = _read_module(model_dir / "controlnet", *index["controlnet"])
        pixels = 2 ** (len(networks["vae"].config.block_out_channels) - 1)
        check_fit(networks["control"], networks["unet"], pixels, f"{model_dir / 'controlnet'}")
    guidance = DiffusionGuidance(
        **networks,
        text_encoders=[
            _read_text_encoder(model_dir, index, ending) for ending in text_endings(index)
        ],
        scheduler_config=scheduler_config,
        view_words=view_words,
        device=device,
        unet_dtype=unet_dtype,
        empty_is_zero=bool(index.get("force_zeros_for_empty_prompt", False)),
    )
    channels = guidance.latent_shape[0]
    if channels != guidance.vae.config.latent_channels:
        raise InputError(
            f"{model_dir}: unet takes {channels} channels but the vae gives "
            f"{guidance.vae.config.latent_channels}; inpainting models are not supported."
        )
    return guidance


def _read_text_encoder(model_dir: Path, index: Mapping[str, Any], ending: str) -> TextEncoder:
    """One of the tokenizers with its network, if they fit each other."""
    names = (f"tokenizer{ending}", f"text_encoder{ending}")
    tokenizer = _read_tokenizer(model_dir / names[0], index[names[0]][1])
    network = _read_module(model_dir / names[1], *index[names[1]])
    words, known = len(tokenizer), network.config.vocab_size
    if words > known:
        raise InputError(
            f"{model_dir}: the {names[0]} has {words} words, the {names[1]} knows {known}."
        )
    return TextEncoder(tokenizer, network)


def _read_module(folder: Path, library: str, class_name: str) -> nn.Module:
    """One network: every weight present, finite, and in memory of its own."""
    read_json(folder / "config.json")
    variant = check_weights(folder)
    if library == "diffusers":
        import diffusers
        from diffusers.utils import is_accelerate_available

        kind = getattr(diffusers, class_name)
        options = {"torch_dtype": torch.float32, "low_cpu_mem_usage": is_accelerate_available()}
    else:
        import transformers

        kind = getattr(transformers, class_name)
        options = {"dtype": torch.float32}
    try:
        with _quiet():
            module, info = kind.from_pretrained(
                str(folder),
                variant=variant,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise InputError(
            f"{folder}: the weights do not fit config.json ({_first_sentence(error)})."
        ) from None
    missing = sorted(name for name in info["missing_keys"] if not name.endswith(HARMLESS))
    if missing or info["mismatched_keys"]:
        name = missing[0] if missing else info["mismatched_keys"][0]
        raise InputError(f"{folder}: the weights do not fit config.json, starting with {name}.")
    for name, parameter in module.named_parameters():
        # Loaders may leave weights in a mapped file, at addresses that change between runs.
        parameter.data = parameter.data.clone()
        if not torch.isfinite(parameter.data).all():
            raise InputError(f"{folder}: {name} holds values that are not finite.")
    return module


def _read_tokenizer(folder: Path, class_name: str) -> Any:
    import transformers

    check_tokenizer(folder)
    is_clip = class_name.startswith("CLIP")
    kind = transformers.CLIPTokenizer if is_clip else transformers.PreTrainedTokenizerFast
    try:
        return kind.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{folder}: no readable tokenizer ({_first_sentence(error)}).") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' reports about missing weights and bars: we say it in one line."""
    import transformers

    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    levels = [logger.level for logger in loggers]
    had_bars = transformers.utils.logging.is_progress_bar_enabled()
    try:
        transformers.utils.logging.disable_progress_bar()
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if had_bars:
            transformers.utils.logging.enable_progress_bar()


def _first_sentence(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text.split(". ")[0][:200]
