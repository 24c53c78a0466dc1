"""The stage that trains the autoencoder, at a tiny size."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from splatworks.pipeline.errors import InputError
from splatworks.stages.toybox import kinds, latents, train_vae, vae_loop

from .training_material import COUNT, VAE_CONFIG, contents, context, images


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> kinds.ToyImagesDir:
    return images(tmp_path_factory.mktemp("material") / "images")


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory: pytest.TempPathFactory) -> kinds.VaeDir:
    root = tmp_path_factory.mktemp("whole")
    return train_vae.run(train_vae.Inputs(pictures), VAE_CONFIG, context(root)).vae


def test_trained_in_pieces_on_two_threads_it_is_the_same(pictures, trained, tmp_path) -> None:
    inputs = train_vae.Inputs(pictures)
    seen = []

    class Stop(Exception):
        pass

    def stop_at_three(step: int) -> None:
        seen.append(step)
        if step == 3:
            raise Stop

    interrupted = replace(VAE_CONFIG, save_every_s=0.0)
    batch_loss = vae_loop.batch_loss
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):

        def checked(images, chosen, config, seed, step):
            stop_at_three(step)
            return batch_loss(images, chosen, config, seed, step)

        patch.setattr(vae_loop, "batch_loss", checked)
        train_vae.run(inputs, interrupted, context(tmp_path))
    assert seen == [0, 1, 2, 3]
    again = train_vae.run(inputs, VAE_CONFIG, context(tmp_path, threads=2)).vae
    assert contents(again.path) == contents(trained.path)


def test_latents_have_unit_deviation_and_the_scaling_factor_says_so(pictures, trained) -> None:
    vae = AutoencoderKL.from_pretrained(trained.path)
    pixels, lines = vae_loop.load_images(pictures.path)
    chosen = pixels[vae_loop.of_split(lines, "train")]
    mean, std = vae_loop.moments(vae, vae_loop.to_unit(chosen))
    torch.testing.assert_close(mean, torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(std, torch.ones(4), rtol=1e-3, atol=0)
    assert vae.config.scaling_factor == pytest.approx(1.0, rel=1e-3)


def test_the_log_and_the_quality_are_beside_the_weights(trained) -> None:
    lines = [
        json.loads(line) for line in (trained.path / "training.jsonl").read_text().splitlines()
    ]
    assert lines[-1]["step"] == VAE_CONFIG.steps
    assert lines[-1]["samples"] == VAE_CONFIG.steps * VAE_CONFIG.batch
    assert json.loads((trained.path / "quality.json").read_text())["heldout_psnr_db"] > 1


def test_training_that_misses_the_gate_fails(pictures, tmp_path) -> None:
    config = replace(VAE_CONFIG, steps=1, gate_db=60.0)
    with pytest.raises(InputError, match=r"60 dB are asked for"):
        train_vae.run(train_vae.Inputs(pictures), config, context(tmp_path))


def test_the_gate_is_the_psnr_of_reconstructions_in_bytes_over_255(trained, pictures) -> None:
    vae = AutoencoderKL.from_pretrained(trained.path)
    pixels, _ = vae_loop.load_images(pictures.path)
    made = vae_loop.reconstruct(vae, pixels[:3]).permute(0, 2, 3, 1).double().numpy()
    mse = ((made - pixels[:3] / 255.0) ** 2).mean()
    assert vae_loop.judge(vae, pixels[:3]) == pytest.approx(-10 * np.log10(mse), abs=1e-3)


def test_latents_are_the_posterior_means_of_all_images(trained, pictures, tmp_path) -> None:
    inputs = latents.Inputs(pictures, trained)
    out = latents.run(inputs, latents.Config(batch=4), context(tmp_path)).latents
    stored = np.load(out.path / "latents.npy")
    assert stored.shape == (COUNT, 4, 8, 8)
    assert stored.dtype == np.float16
    vae = AutoencoderKL.from_pretrained(trained.path)
    pixels, _ = vae_loop.load_images(pictures.path)
    with torch.no_grad():
        expected = vae.encode(vae_loop.to_unit(pixels)).latent_dist.mean.numpy()
    np.testing.assert_allclose(stored, expected, rtol=2e-3, atol=2e-3)


def test_images_without_their_index_are_refused(tmp_path) -> None:
    folder = images(tmp_path / "images").path
    (folder / "index.jsonl").write_text('{"split": "train"}\n')
    with pytest.raises(InputError, match="20 images, but 1 lines"):
        vae_loop.load_images(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [("channels", (8, 8)), ("batch", 3), ("steps", 0), ("ema", 1.0), ("kl_weight", -1.0)],
)
def test_settings_out_of_range_are_named(field, value) -> None:
    with pytest.raises(ValueError, match=field):
        train_vae.Config(**{field: value})


def test_an_earlier_autoencoder_keeps_its_latents(pictures, trained, tmp_path) -> None:
    slow = replace(VAE_CONFIG, learning_rate=1e-9)
    again = train_vae.run(train_vae.Inputs(pictures, trained), slow, context(tmp_path)).vae
    first, second = (AutoencoderKL.from_pretrained(m.path) for m in (trained, again))
    assert first.config.scaling_factor == second.config.scaling_factor
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_an_autoencoder_of_another_size_is_refused(pictures, trained, tmp_path) -> None:
    other = replace(VAE_CONFIG, channels=(8, 8, 16))
    with pytest.raises(
        InputError, match=r"has channels \(8, 8, 8\), the settings say \(8, 8, 16\)"
    ):
        train_vae.run(train_vae.Inputs(pictures, trained), other, context(tmp_path / "a"))
    empty = kinds.VaeDir(tmp_path)
    with pytest.raises(InputError, match="is not a VAE to begin with"):
        train_vae.run(train_vae.Inputs(pictures, empty), VAE_CONFIG, context(tmp_path / "b"))
