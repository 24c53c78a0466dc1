"""The tokenizer, the loss weights and the latents' normalization."""

import numpy as np
import pytest
import torch
from splatworks.stages.toybox import networks
from transformers import PreTrainedTokenizerFast

WORDS = ["a", "red", "mug", "front-left", "view", "close-up", "of"]


def test_tokens_are_whole_lower_case_words_split_at_spaces_and_commas(tmp_path) -> None:
    made = networks.build_tokenizer(WORDS, length=12)
    made.save_pretrained(tmp_path)
    for tokenizer in (made, PreTrainedTokenizerFast.from_pretrained(tmp_path)):
        ids = networks.token_ids(tokenizer, ["Close-up of a RED  mug,front-left view,"])[0]
        assert tokenizer.convert_ids_to_tokens(ids) == [
            "<bos>", "close-up", "of", "a", "red", "mug", "front-left", "view", "<eos>",
            "<pad>", "<pad>", "<pad>",
        ]  # fmt: skip


def test_unknown_words_become_unk_and_long_texts_keep_their_end_token() -> None:
    tokenizer = networks.build_tokenizer(WORDS, length=6)
    ids = networks.token_ids(tokenizer, ["a zebra", "a a a a a a a a a", ""])
    words = [tokenizer.convert_ids_to_tokens(row) for row in ids]
    assert words[0][:4] == ["<bos>", "a", "<unk>", "<eos>"]
    assert words[1] == ["<bos>", "a", "a", "a", "a", "<eos>"]
    assert words[2] == ["<bos>", "<eos>", "<pad>", "<pad>", "<pad>", "<pad>"]


def test_the_order_of_the_word_list_does_not_matter() -> None:
    first = networks.build_tokenizer(WORDS, length=8).get_vocab()
    assert first == networks.build_tokenizer([*WORDS[::-1], "red"], length=8).get_vocab()


def test_min_snr_weight_is_the_capped_weight_of_the_error_of_x0() -> None:
    """Derived again from a wrong prediction: error of v to error of x0, times min(SNR, cap) + 1."""
    rng = np.random.default_rng(0)
    abar = rng.uniform(0.001, 0.999, 50)
    x0, noise, v = rng.standard_normal((3, 50))
    alpha, sigma = np.sqrt(abar), np.sqrt(1 - abar)
    z = alpha * x0 + sigma * noise
    error_x0 = (alpha * z - sigma * v - x0) ** 2
    error_v = (v - (alpha * noise - sigma * x0)) ** 2
    expected = (np.minimum(alpha**2 / sigma**2, 5.0) + 1) * error_x0
    weight = networks.min_snr_weight(torch.from_numpy(abar), 5.0).numpy()
    np.testing.assert_allclose(weight * error_v, expected, rtol=1e-9)


def test_the_schedule_ends_in_pure_noise() -> None:
    alphas = networks.build_scheduler().alphas_cumprod
    assert alphas[-1] < 1e-5
    assert alphas[0] > 0.999


def test_normalizing_the_latents_leaves_the_images_alone() -> None:
    draw = torch.Generator().manual_seed(0)
    vae = networks.seeded(lambda: networks.build_vae((8, 8, 8), image_size_px=16), draw).eval()
    pixels = torch.rand(3, 3, 16, 16, generator=draw) * 2 - 1
    with torch.no_grad():
        before = vae.encode(pixels).latent_dist
        image = vae.decode(before.mean).sample
        mean, std = before.mean.mean((0, 2, 3)), before.mean.std((0, 2, 3))
        networks.normalize_latents(vae, mean, std)
        after = vae.encode(pixels).latent_dist
        torch.testing.assert_close(vae.decode(after.mean).sample, image, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(after.mean.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-5)
        torch.testing.assert_close(after.mean.std((0, 2, 3)), torch.ones(4), rtol=1e-5, atol=0)
        torch.testing.assert_close(after.std * std[:, None, None], before.std, rtol=1e-4, atol=0)


def test_captions_stand_apart_before_training() -> None:
    words = ["a", "blue", "mug", "red", "table", "view"]
    tokenizer = networks.build_tokenizer(words, length=8)
    draw = torch.Generator().manual_seed(0)
    unet = networks.seeded(
        lambda: networks.build_unet((16, 16), (1, 2), latent_size=8, text_width=32), draw
    )
    encoder = networks.seeded(
        lambda: networks.build_text_encoder(tokenizer, width=32, layers=2), draw
    )
    texts = [f"a {c} {k} view" for c in ("red", "blue", "a") for k in ("mug", "table", "view")]
    ids = networks.token_ids(tokenizer, texts)

    def pooled() -> torch.Tensor:
        with torch.no_grad():
            return unet.add_embedding(encoder(ids).last_hidden_state)

    assert pooled().std(0).mean() < 0.5
    networks.spread_conditions(encoder, unet, ids)
    torch.testing.assert_close(pooled().mean(0), torch.zeros(64), rtol=0, atol=1e-4)
    torch.testing.assert_close(pooled().std(0), torch.ones(64), rtol=1e-3, atol=0)


def test_building_a_network_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    draws = [torch.Generator().manual_seed(5) for _ in range(2)]
    made = [networks.seeded(lambda: torch.nn.Linear(3, 3), draw) for draw in draws]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(made[0].weight, made[1].weight)


def test_psnr_of_a_known_error() -> None:
    first = torch.full((2, 3, 4, 4), 0.5)
    assert networks.psnr_db(first, first + 0.1) == pytest.approx(20.0, abs=1e-4)
