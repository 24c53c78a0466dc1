"""The stage that trains the denoiser and assembles the pipeline, at a tiny size."""

import json
import shutil
import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from splatworks.pipeline.errors import InputError
from splatworks.stages.artifacts import GuidanceDir
from splatworks.stages.toybox import kinds, precision, props, train_unet, unet_lessons, unet_loop

from .training_material import UNET_CONFIG, contents, context, unet_inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> train_unet.Inputs:
    return unet_inputs(tmp_path_factory.mktemp("material"))


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory: pytest.TempPathFactory) -> GuidanceDir:
    return train_unet.run(inputs, UNET_CONFIG, context(tmp_path_factory.mktemp("whole"))).model


def test_trained_in_pieces_on_two_threads_it_is_the_same(inputs, trained, tmp_path) -> None:
    class Stop(Exception):
        pass

    batch_loss = unet_loop.batch_loss

    def stopping(lessons, config, seed, step):
        if step == 4:
            raise Stop
        return batch_loss(lessons, config, seed, step)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(unet_loop, "batch_loss", stopping)
        train_unet.run(inputs, replace(UNET_CONFIG, save_every_s=0.0), context(tmp_path))
    again = train_unet.run(inputs, UNET_CONFIG, context(tmp_path, threads=2)).model
    assert contents(again.path) == contents(trained.path)


LOADS = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
torch.set_num_threads(1)
pipeline = StableDiffusionPipeline.from_pretrained(sys.argv[1])
assert isinstance(pipeline.scheduler, DDIMScheduler)
assert pipeline.scheduler.config.prediction_type == "v_prediction"
assert {p.dtype for m in (pipeline.unet, pipeline.text_encoder, pipeline.vae)
        for p in m.parameters()} == {torch.float32}
latents = pipeline("a red mug", negative_prompt="", num_inference_steps=2, output_type="latent",
                   generator=torch.Generator().manual_seed(0), guidance_scale=3.0).images
print(tuple(latents.shape), bool(latents.isfinite().all()), f"{latents.double().sum():.4f}")
"""


def test_a_fresh_offline_process_loads_it_by_diffusers_own_class(trained) -> None:
    environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    elsewhere = subprocess.run(
        [sys.executable, "-c", LOADS, str(trained.path)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stdout
    assert elsewhere.startswith("(1, 4, 8, 8) True")
    pipeline = StableDiffusionPipeline.from_pretrained(trained.path, local_files_only=True)
    here = pipeline(
        "a red mug",
        negative_prompt="",
        num_inference_steps=2,
        output_type="latent",
        generator=torch.Generator().manual_seed(0),
        guidance_scale=3.0,
    ).images
    assert float(elsewhere.split()[-1]) == pytest.approx(here.double().sum().item(), abs=1e-2)


def test_close_ups_are_thinned_out_and_held_out_pictures_left_out() -> None:
    made = props.make(props.Config(kinds=("tree", "chair"), plain_props=1), 0)
    toys = {number: toy for number, toy in enumerate(made)}
    chair = next(number for number, toy in toys.items() if toy.kind == "chair")
    index = [{"prop": 0, "split": "train", "zoom": 1.0}] * 80
    index += [{"prop": chair, "split": "train", "zoom": 1.0}] * 10
    index += [{"prop": 0, "split": "train", "zoom": 2.5}] * 40
    index += [{"prop": 0, "split": "heldout", "zoom": 1.0}] * 5
    drawn = unet_lessons.drawn_pictures(index, toys)
    assert (drawn < 80).sum() == 80
    assert ((drawn >= 80) & (drawn < 90)).sum() == 10 * unet_lessons.FRONTED
    assert ((drawn >= 90) & (drawn < 130)).sum() == 10
    assert drawn.max() < 130


def test_the_directory_holds_half_precision_weights_and_the_view_words(inputs, trained) -> None:
    sizes = {p.name: p.stat().st_size for p in trained.path.rglob("*.safetensors")}
    assert set(sizes) == {"diffusion_pytorch_model.safetensors", "model.safetensors"}
    index = json.loads((trained.path / "model_index.json").read_text())
    assert index["tokenizer"] == ["transformers", "PreTrainedTokenizerFast"]
    words = (inputs.captions.path / "view_words.json").read_bytes()
    assert (trained.path / "view_words.json").read_bytes() == words


def test_batches_use_training_images_every_noise_level_and_some_empty_captions(inputs) -> None:
    tokenizer = unet_loop.build_tokenizer(
        json.loads((inputs.captions.path / "vocabulary.json").read_text()), length=8
    )
    config = replace(UNET_CONFIG, batch=8, drop_caption=0.25)
    lessons = unet_lessons.load_lessons(inputs, config, tokenizer, 2.0)
    assert not set(lessons.chosen) & set(range(0, 20, 5))
    seen: list[tuple[torch.Tensor, ...]] = []

    class Spy(dict):
        pass

    def record(z, noise, t, ids):
        seen.append((z, noise, t, ids))
        return torch.zeros(())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            unet_loop,
            "denoising_loss",
            lambda model, z, noise, t, ids, lessons, config: record(z, noise, t, ids),
        )
        for step in range(40):
            loss = unet_loop.batch_loss(lessons, config, 0, step)
            loss(Spy(), 0)
            loss(Spy(), 1)
    z, noise, t, ids = (torch.cat(parts) for parts in zip(*seen, strict=True))
    assert z.shape == noise.shape == (320, 4, 8, 8)
    allowed = torch.from_numpy(inputs_latents(inputs)[lessons.chosen]).float() * 2.0
    assert all((row == allowed).flatten(1).all(1).any() for row in z[:20])
    # t was cut to a whole number: it came from between these two.
    low, high = (
        (((t.view(40, 8) + more) / 1000) ** (1 / unet_loop.EARLY) * 8).sort(1).values
        for more in (0.0, 1.0)
    )
    assert (low < torch.arange(1, 9)).all() and (high > torch.arange(8)).all()
    assert 0.15 < (ids == lessons.empty).all(1).float().mean() < 0.35
    assert 0.95 < noise.std() < 1.05


def inputs_latents(inputs: train_unet.Inputs) -> np.ndarray:
    return np.load(inputs.latents.path / "latents.npy")


def test_a_perfect_denoiser_has_no_loss(inputs) -> None:
    """v is written here from z_t and z alone: v = (alpha z_t - z) / sigma."""
    tokenizer = unet_loop.build_tokenizer(["a"], length=8)
    config = replace(UNET_CONFIG, bfloat16=False)
    words = json.loads((inputs.captions.path / "vocabulary.json").read_text())
    lessons = unet_lessons.load_lessons(
        inputs, config, unet_loop.build_tokenizer(words, length=8), 1.0
    )
    draw = torch.Generator().manual_seed(0)
    z, noise = torch.randn(2, 5, 4, 8, 8, generator=draw).unbind()
    t = torch.tensor([20, 200, 500, 800, 980])
    alpha = lessons.alphas_cumprod[t].sqrt()[:, None, None, None]
    sigma = (1 - lessons.alphas_cumprod[t]).sqrt()[:, None, None, None]

    class Answer:
        last_hidden_state = None
        sample = None

    def text_encoder(ids):
        return Answer()

    def unet(z_t, t, states):
        answer = Answer()
        answer.sample = (alpha * z_t - z) / sigma
        return answer

    model = {"text_encoder": text_encoder, "unet": unet}
    ids = torch.full((5, 8), tokenizer.pad_token_id)
    loss = unet_loop.denoising_loss(model, z, noise, t, ids, lessons, config)
    assert loss.item() < 1e-6


def test_it_goes_on_from_an_earlier_model(inputs, trained, tmp_path, caplog) -> None:
    """With a rate of almost nothing the weights stay: half precision on disk and all."""
    start = replace(inputs, start=trained)
    slow = replace(UNET_CONFIG, learning_rate=1e-9)
    with caplog.at_level("INFO"):
        again = train_unet.run(start, slow, context(tmp_path)).model
    assert f"begins with the weights in {trained.path}" in caplog.text
    for part in ("unet/diffusion_pytorch_model", "text_encoder/model"):
        first, second = (load_file(m.path / f"{part}.safetensors") for m in (trained, again))
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_earlier_model_of_another_size_is_refused(inputs, trained, tmp_path) -> None:
    start = replace(inputs, start=trained)
    with pytest.raises(InputError, match=r"has channels \(16, 16\), the settings say \(16, 32\)"):
        train_unet.run(start, replace(UNET_CONFIG, channels=(16, 32)), context(tmp_path / "a"))
    with pytest.raises(InputError, match="is not a model to begin with"):
        train_unet.run(
            replace(inputs, start=GuidanceDir(tmp_path)), UNET_CONFIG, context(tmp_path / "b")
        )


def test_an_earlier_model_learns_the_words_that_it_lacks(inputs, trained, tmp_path, caplog) -> None:
    other = tmp_path / "captions"
    shutil.copytree(inputs.captions.path, other)
    words = json.loads((other / "vocabulary.json").read_text())
    (other / "vocabulary.json").write_text(json.dumps([*words, "teapot"]))
    start = replace(inputs, start=trained, captions=kinds.ToyCaptionsDir(other))
    with caplog.at_level("INFO"):
        again = train_unet.run(start, UNET_CONFIG, context(tmp_path / "c")).model
    assert "1 words are new to it" in caplog.text
    table = load_file(again.path / "text_encoder" / "model.safetensors")
    old = load_file(trained.path / "text_encoder" / "model.safetensors")
    (name,) = (name for name in table if name.endswith("token_embedding.weight"))
    assert len(table[name]) == len(old[name]) + 1


def test_short_mantissas_are_the_nearest_and_compress() -> None:
    values = torch.randn(20_000, generator=torch.Generator().manual_seed(0)).half()
    values[:4] = torch.tensor([0.0, -0.0, 1.0, 65000.0])
    short = precision.shortened(values, 6)
    error = (short.double() - values.double()).abs()
    assert (error <= values.double().abs() * 2.0**-7).all()
    assert error.max() > 0
    torch.testing.assert_close(precision.shortened(short, 6), short, rtol=0, atol=0)
    assert (short.view(torch.int16) & 0b1111 == 0).all()
    neighbors = [short.view(torch.int16) + step for step in (-16, 16)]
    for other in neighbors:
        there = other.view(torch.float16).double()
        closer = (there - values.double()).abs() < error - 1e-12
        assert not (closer & (short != 0) & there.isfinite()).any()
    assert len(zlib.compress(short.numpy().tobytes())) < 0.85 * len(
        zlib.compress(values.numpy().tobytes())
    )


def test_pictures_of_other_props_are_refused(inputs, tmp_path) -> None:
    (tmp_path / "props.json").write_text("[]")
    words = json.loads((inputs.captions.path / "vocabulary.json").read_text())
    with pytest.raises(InputError, match=r"shows prop 0, which .* does not have"):
        unet_lessons.load_lessons(
            replace(inputs, props=props.PropsDir(tmp_path)),
            UNET_CONFIG,
            unet_loop.build_tokenizer(words, length=8),
            1.0,
        )


def test_captions_outside_the_vocabulary_are_refused(inputs, tmp_path) -> None:
    tokenizer = unet_loop.build_tokenizer(["a", "mug"], length=8)
    with pytest.raises(InputError, match=r"image 0 has a word that is not in vocabulary\.json"):
        unet_lessons.load_lessons(inputs, UNET_CONFIG, tokenizer, 1.0)


def test_latents_of_other_images_are_refused(inputs, tmp_path) -> None:
    np.save(tmp_path / "latents.npy", np.zeros((3, 4, 8, 8), np.float16))
    words = json.loads((inputs.captions.path / "vocabulary.json").read_text())
    with pytest.raises(InputError, match="3 latents, 20 images and 20 captions"):
        unet_lessons.load_lessons(
            replace(inputs, latents=kinds.LatentsDir(tmp_path)),
            UNET_CONFIG,
            unet_loop.build_tokenizer(words, length=8),
            1.0,
        )


@pytest.mark.parametrize(
    ("field", "value"),
    [("channels", (20, 32)), ("batch", 0), ("text_width", 48), ("drop_caption", 1.0)],
)
def test_settings_out_of_range_are_named(field, value) -> None:
    with pytest.raises(ValueError, match=field):
        train_unet.Config(**{field: value})
