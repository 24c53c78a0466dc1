"""SDXL's layout: two text encoders, the pooled text and the sizes, against diffusers itself."""

import warnings
from pathlib import Path

import pytest
import torch
from splatworks.stages.guidance import diffusion, memory
from splatworks.stages.guidance.load import free_text

from . import tiny_pipeline


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tiny_pipeline.build_xl(tmp_path_factory.mktemp("xl") / "model")


@pytest.fixture(scope="module")
def theirs(model_dir):
    from diffusers import StableDiffusionXLPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return StableDiffusionXLPipeline.from_pretrained(model_dir, local_files_only=True)


def test_texts_become_what_the_pipeline_makes_of_them(model_dir, theirs) -> None:
    guidance = diffusion.load(model_dir)
    states, _, pooled, _ = theirs.encode_prompt(
        ["a red mug", "x"], do_classifier_free_guidance=False
    )
    ours = guidance.embed(["a red mug", "x"]).tensors
    torch.testing.assert_close(ours["states"], states)
    torch.testing.assert_close(ours["pooled"], pooled)
    ids = theirs._get_add_time_ids(
        (32, 32), (0, 0), (32, 32), torch.float32, text_encoder_projection_dim=12
    )
    torch.testing.assert_close(ours["time_ids"], ids.expand(2, -1))


def test_no_text_is_zero_where_the_model_was_trained_so(model_dir, theirs) -> None:
    _, empty, _, pooled = theirs.encode_prompt(["a"], do_classifier_free_guidance=True)
    ours = diffusion.load(model_dir).embed([""]).tensors
    torch.testing.assert_close(ours["states"], empty)
    torch.testing.assert_close(ours["pooled"], pooled)
    assert not ours["states"].any() and not ours["pooled"].any()
    said = diffusion.load(model_dir).embed(["", "a"]).tensors["states"]
    assert not said[0].any() and said[1].any()


def test_the_denoiser_is_told_all_of_it(model_dir, theirs) -> None:
    guidance = diffusion.load(model_dir)
    condition = guidance.embed(["a red mug", "a"])
    rng = torch.Generator().manual_seed(0)
    z_t, t = torch.randn(2, 4, 8, 8, generator=rng), torch.tensor([20, 700])
    with torch.no_grad():
        eps = theirs.unet(
            z_t, t, encoder_hidden_states=condition.tensors["states"],
            added_cond_kwargs={
                "text_embeds": condition.tensors["pooled"],
                "time_ids": condition.tensors["time_ids"],
            },
        ).sample  # fmt: skip
    torch.testing.assert_close(guidance.predict(z_t, t, condition).eps, eps)
    torch.testing.assert_close(
        guidance.alphas_cumprod, theirs.scheduler.alphas_cumprod, rtol=1e-6, atol=1e-7
    )


def test_the_text_encoders_can_be_let_go(model_dir, monkeypatch) -> None:
    guidance = diffusion.load(model_dir)
    assert free_text(guidance) is guidance  # Small ones stay.
    monkeypatch.setattr("splatworks.stages.guidance.load.LARGE_TEXT_BYTES", 0)
    condition = guidance.embed(["a"])
    light = free_text(guidance)
    assert not light.text_encoders and not diffusion._CACHE
    z_t, t = torch.ones(1, 4, 8, 8), torch.tensor([5])
    assert torch.equal(
        light.predict(z_t, t, condition).eps, guidance.predict(z_t, t, condition).eps
    )
    with pytest.raises(ValueError, match="freed"):
        light.embed(["a"])
    assert diffusion.load(model_dir) is not guidance


def kept_by(guidance, views: int) -> int:
    """What the encoder really keeps, on the CPU."""
    weights = {p.untyped_storage().data_ptr() for p in guidance.vae.parameters()}
    kept: dict[int, int] = {}
    alive = []

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        guidance.encode(torch.rand(views, 3, 32, 32, requires_grad=True))
    return sum(kept.values())


def test_the_forecast_of_the_encoder_covers_what_it_keeps(model_dir) -> None:
    guidance = diffusion.load(model_dir)
    for views in (1, 3):
        real = kept_by(guidance, views)
        # Kernels for the CPU keep a little less in attention than the general ones.
        assert real <= memory.encoder_bytes(guidance.vae, views, 32) <= 1.1 * real
    more = memory.denoiser_bytes(guidance.unet, 4, 4)
    assert more == 2 * memory.denoiser_bytes(guidance.unet, 2, 4) > 0
    assert memory.denoiser_bytes(guidance.unet, 4, 2) == more // 2
    nets = [guidance.unet, guidance.vae, *(each.network for each in guidance.text_encoders)]
    weights = sum(p.numel() * 4 for net in nets for p in net.parameters())
    assert memory.parameter_bytes(*nets) == weights
    assert memory.weight_bytes(guidance) == weights
    both = memory.encoder_bytes(guidance.vae, 2, 32) + more
    assert memory.call_bytes(guidance, 2, 2) == both
    assert memory.gigabytes(1) == "0.1 GB" and memory.gigabytes(2_310_000_000) == "2.4 GB"
