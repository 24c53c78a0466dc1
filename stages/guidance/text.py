"""What a diffusion pipeline's text encoders make of a text.

Stable Diffusion 1.x and 2.x have one encoder, whose last states are used. SDXL (Podell et al. 2023,
section 2.1) has two: their states before the last layer stand side by side, and the second one's
pooled text goes to the network as well, with the size and crop of the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .protocol import Condition

LAST_BUT_ONE = -2


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """One tokenizer with its network."""

    tokenizer: Any
    network: Any

    @property
    def length(self) -> int:
        """Tokens of a text; longer ones are cut."""
        longest = int(self.network.config.max_position_embeddings)
        return min(int(self.tokenizer.model_max_length), longest)

    def run(self, texts: Sequence[str], *, all_layers: bool) -> Any:
        """The network's own output."""
        device = next(self.network.parameters()).device
        tokens = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.length,
            truncation=True,
            return_tensors="pt",
        )
        uses_mask = getattr(self.network.config, "use_attention_mask", False)
        mask = tokens.attention_mask.to(device) if uses_mask else None
        return self.network(
            tokens.input_ids.to(device), attention_mask=mask, output_hidden_states=all_layers
        )


@torch.no_grad()
def embed_single(encoder: TextEncoder, texts: Sequence[str]) -> Condition:
    """`states` (text, token, channel) of a pipeline with one encoder."""
    return Condition({"states": encoder.run(texts, all_layers=False)[0]})


@torch.no_grad()
def embed_double(
    encoders: Sequence[TextEncoder],
    texts: Sequence[str],
    picture_px: int,
    *,
    empty_is_zero: bool,
) -> Condition:
    """`states`, `pooled` and `time_ids` (original size, crop, target size) of an SDXL pipeline.

    Args:
        empty_is_zero: Whether the model was trained with zeros for no text at all.
    """
    outs = [encoder.run(texts, all_layers=True) for encoder in encoders]
    states = torch.cat([out.hidden_states[LAST_BUT_ONE] for out in outs], dim=-1)
    pooled = outs[-1].text_embeds
    if empty_is_zero:
        said = torch.tensor([bool(text) for text in texts], device=states.device)
        states, pooled = states * said[:, None, None], pooled * said[:, None]
    ids = pooled.new_tensor([picture_px, picture_px, 0, 0, picture_px, picture_px])
    return Condition({"states": states, "pooled": pooled, "time_ids": ids.expand(len(texts), -1)})


def network_arguments(condition: Condition, like: Tensor) -> dict[str, Any]:
    """What the denoiser is called with for a condition, in the type and place of `like`."""
    tensors = condition.tensors
    arguments: dict[str, Any] = {"encoder_hidden_states": tensors["states"].to(like)}
    if "pooled" in tensors:
        arguments["added_cond_kwargs"] = {
            "text_embeds": tensors["pooled"].to(like),
            "time_ids": tensors["time_ids"].to(like),
        }
    return arguments


def unknown_words(tokenizer: Any, text: str) -> list[str]:
    """Words that become the tokenizer's unknown token. Byte-level tokenizers know all.

    Words are what lies between blanks, without punctuation at their ends.
    """
    unknown = tokenizer.unk_token_id
    if unknown is None:
        return []
    found: list[str] = []
    for word in (part.strip(".,;:!?\"'()[]") for part in text.split()):
        if not word or word in found:
            continue
        ids = tokenizer(word, add_special_tokens=False).input_ids
        if unknown in ids and word != tokenizer.unk_token:
            found.append(word)
    return found
