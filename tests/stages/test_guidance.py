"""Real diffusers pipelines, tiny: predictions, gradients, sampling, and broken directories."""

import shutil
import warnings
from pathlib import Path

import pytest
import torch
from splatworks.pipeline.errors import InputError
from splatworks.stages.guidance import diffusion
from splatworks.stages.guidance.cfg import predict_guided, stack
from splatworks.stages.guidance.load import load as load_any
from splatworks.stages.guidance.protocol import Condition, Prediction
from splatworks.stages.guidance.sample import sample, timesteps

from . import tiny_pipeline

F64 = torch.float64


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)
    yield
    diffusion.forget()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tiny_pipeline.build(tmp_path_factory.mktemp("sd") / "model")


@pytest.fixture(scope="module")
def closed_dir(tmp_path_factory) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tiny_pipeline.build(
            tmp_path_factory.mktemp("toy") / "model",
            prediction_type="v_prediction",
            closed_vocabulary=True,
        )


@pytest.fixture
def broken(model_dir, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(model_dir, tmp_path / "model"))


def noise(seed: int, *shape: int, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# --- conversions ---


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_predictions_agree_with_the_schedulers_step(kind) -> None:
    """Diffusers' DDIM step reports its own x0; a step to level 0 is that x0."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear", prediction_type=kind, clip_sample=False, steps_offset=1
    )
    scheduler.set_timesteps(1000)
    z_t, out = noise(0, 1, 4, 8, 8), noise(1, 1, 4, 8, 8)
    for t in (3, 400, 950):
        theirs = scheduler.step(out, t, z_t).pred_original_sample
        abar = scheduler.alphas_cumprod[t : t + 1]
        ours = diffusion.to_prediction(out, z_t, abar, kind)
        torch.testing.assert_close(ours.x0, theirs, rtol=2e-5, atol=2e-5)
        rebuilt = abar.sqrt() * ours.x0 + (1 - abar).sqrt() * ours.eps
        torch.testing.assert_close(rebuilt, z_t, rtol=2e-5, atol=2e-5)


def test_velocity_is_the_schedulers() -> None:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(prediction_type="v_prediction", clip_sample=False, steps_offset=1)
    x0, eps = noise(0, 3, 4, 8, 8, dtype=F64), noise(1, 3, 4, 8, 8, dtype=F64)
    t = torch.tensor([10, 500, 990])
    v = scheduler.get_velocity(x0, eps, t)
    z_t = scheduler.add_noise(x0, eps, t)
    ours = diffusion.to_prediction(v, z_t, scheduler.alphas_cumprod.double()[t], "v_prediction")
    torch.testing.assert_close(ours.x0, x0, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.eps, eps, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_schedules_by_the_formula(schedule) -> None:
    from diffusers import DDPMScheduler

    made = DDPMScheduler(beta_schedule=schedule, num_train_timesteps=50)
    torch.testing.assert_close(diffusion.alphas_cumprod_of(dict(made.config)), made.alphas_cumprod)


# --- the model ---


def test_the_model_answers_like_its_parts(model_dir) -> None:
    """Against the pipeline as diffusers itself loads it."""
    from diffusers import StableDiffusionPipeline

    guidance = diffusion.load(model_dir)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = StableDiffusionPipeline.from_pretrained(model_dir, local_files_only=True)
    assert guidance.latent_shape == (4, 8, 8) and guidance.image_size == 32
    texts = ["a red mug, front view", ""]
    embeddings, _ = theirs.encode_prompt(texts, "cpu", 1, False)
    condition = guidance.embed(texts)
    torch.testing.assert_close(condition.tensors["states"], embeddings)

    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    latents = guidance.encode(images)
    expected = theirs.vae.encode(images * 2 - 1).latent_dist.mode() * 0.5
    torch.testing.assert_close(latents, expected)
    decoded = theirs.vae.decode(latents / 0.5).sample / 2 + 0.5
    torch.testing.assert_close(guidance.decode(latents), decoded)

    t = torch.tensor([30, 700])
    z_t = noise(0, 2, 4, 8, 8)
    with torch.no_grad():
        eps = theirs.unet(z_t, t, encoder_hidden_states=embeddings).sample
    guess = guidance.predict(z_t, t, condition)
    torch.testing.assert_close(guess.eps, eps)
    torch.testing.assert_close(guidance.alphas_cumprod, theirs.scheduler.alphas_cumprod)


def test_the_gradient_of_the_encoder_agrees_with_finite_differences(model_dir) -> None:
    guidance = diffusion.load(model_dir)
    image = 0.3 + 0.4 * torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    image.requires_grad_()
    weight = noise(2, 1, 4, 8, 8)
    (g,) = torch.autograd.grad((guidance.encode(image) * weight).sum(), image)
    direction = noise(3, 1, 3, 32, 32)
    h = 2e-3
    with torch.no_grad():
        ahead = (guidance.encode(image + h * direction) * weight).sum()
        behind = (guidance.encode(image - h * direction) * weight).sum()
    # float32 through a network: a few parts in a thousand.
    assert float((ahead - behind) / (2 * h)) == pytest.approx(
        float((g * direction).sum()), rel=1e-2
    )


def test_prediction_keeps_no_graph_and_weights_need_no_gradient(model_dir) -> None:
    guidance = diffusion.load(model_dir)
    z_t = noise(0, 1, 4, 8, 8).requires_grad_()
    guess = guidance.predict(z_t, torch.tensor([5]), guidance.embed(["a"]))
    assert not guess.eps.requires_grad
    for part in (guidance.unet, guidance.vae, guidance.text_encoders[0].network):
        assert not any(p.requires_grad for p in part.parameters()) and not part.training


def test_v_prediction_and_words_of_a_closed_vocabulary(closed_dir) -> None:
    guidance = load_any(closed_dir)
    assert guidance.prediction_type == "v_prediction"
    assert guidance.unknown_words("A red zebra, mug; (front) zebra view!") == ["zebra"]
    z_t, t = noise(0, 2, 4, 8, 8), torch.tensor([100, 800])
    condition = guidance.embed(["a red mug", "a mug"])
    guess = guidance.predict(z_t, t, condition)
    v = guidance.unet(z_t, t, encoder_hidden_states=condition.tensors["states"]).sample
    a = guidance.alphas_cumprod[t].view(2, 1, 1, 1)
    torch.testing.assert_close(a.sqrt() * guess.eps - (1 - a).sqrt() * guess.x0, v.detach())
    assert guidance.view_text("a red mug", 170.0, 10.0) == "a red mug, back view"


def test_an_open_vocabulary_knows_every_word(model_dir) -> None:
    assert diffusion.load(model_dir).unknown_words("a zebra, flying") == []


def test_long_prompts_are_cut_not_refused(model_dir) -> None:
    states = diffusion.load(model_dir).embed(["mug " * 100]).tensors["states"]
    assert states.shape == (1, 16, 16)


def test_the_store_is_bounded_and_notices_changes(model_dir, broken) -> None:
    diffusion.forget()
    first = diffusion.load(model_dir)
    assert diffusion.load(model_dir) is first
    other = diffusion.load(broken)
    assert other is not first and diffusion.load(model_dir) is first
    (broken / "view_words.json").write_text(
        '{"template": "{prompt} {azimuth}", "azimuth": [{"word": "front", "center_deg": 0}]}'
    )
    changed = diffusion.load(broken)
    assert changed is not other and changed.view_text("a", 90.0, 0.0) == "a front"
    assert len(diffusion._CACHE) == diffusion.CACHED_MODELS


# --- guidance and sampling ---


class Line:
    """A model with a known answer: every latent is `mean`, whatever the noise."""

    alphas_cumprod = torch.linspace(0.999, 0.01, 100)
    asked = 0

    def predict(self, z_t, t, condition) -> Prediction:
        self.asked += len(t)
        x0 = condition.tensors["mean"].view(-1, 1, 1, 1).expand_as(z_t)
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return Prediction(eps=(z_t - a.sqrt() * x0) / (1 - a).sqrt(), x0=x0)


def mean(*values: float) -> Condition:
    return Condition({"mean": torch.tensor(values, dtype=torch.float32)})


@pytest.mark.parametrize("method", ["cfg", "apg"])
def test_guided_noise_and_picture_agree(method) -> None:
    model, z_t, t = Line(), noise(0, 2, 4, 8, 8), torch.tensor([20, 90])
    guess = predict_guided(model, z_t, t, mean(1, 2), mean(0, 0), scale=5.0, method=method)
    a = model.alphas_cumprod[t].view(2, 1, 1, 1)
    torch.testing.assert_close(a.sqrt() * guess.x0 + (1 - a).sqrt() * guess.eps, z_t)
    if method == "cfg":
        assert torch.allclose(guess.x0[:, 0, 0, 0], torch.tensor([5.0, 10.0]))
    else:  # All of the difference is parallel to the prediction: nothing is left of it.
        assert torch.allclose(guess.x0[:, 0, 0, 0], torch.tensor([1.0, 2.0]))


def test_scale_one_asks_once_others_twice() -> None:
    model, z_t, t = Line(), noise(0, 2, 4, 8, 8), torch.tensor([20, 90])
    predict_guided(model, z_t, t, mean(1, 2), mean(0, 0), scale=1.0)
    assert model.asked == 2
    predict_guided(model, z_t, t, mean(1, 2), mean(0, 0), scale=2.0)
    assert model.asked == 6


def test_stacking_keeps_the_order() -> None:
    assert stack([mean(1, 2), mean(3)]).tensors["mean"].tolist() == [1, 2, 3]


def test_timesteps_start_at_the_top_and_fall() -> None:
    assert timesteps(1000, 4) == [999, 749, 499, 249]
    assert timesteps(1000, 1) == [999]
    assert timesteps(10, 10) == list(range(9, -1, -1))
    assert timesteps(1000, 2, 0.5) == [499, 249]
    for bad in (0, 1001):
        with pytest.raises(ValueError, match="steps"):
            timesteps(1000, bad)
    with pytest.raises(ValueError, match="start_share"):
        timesteps(1000, 5, 0.0)


def test_sampling_ends_at_what_the_model_means() -> None:
    seen = []
    done = sample(
        Line(), mean(1, -2), mean(0), noise(0, 2, 4, 8, 8), steps=7, scale=1.5,
        on_step=lambda k, n: seen.append((k, n)),
    )  # fmt: skip
    torch.testing.assert_close(done[:, 0, 0, 0], torch.tensor([1.5, -3.0]))
    assert seen[0] == (1, 7) and seen[-1] == (7, 7)


def test_one_ddim_step_by_hand() -> None:
    """Two steps: z_s = alpha_s x0 + sigma_s eps, then x0. Here the model answers with z_t / 2."""

    class Half(Line):
        def predict(self, z_t, t, condition) -> Prediction:
            a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
            return Prediction(eps=(z_t - a.sqrt() * z_t / 2) / (1 - a).sqrt(), x0=z_t / 2)

    z = noise(0, 1, 4, 8, 8)
    done = sample(Half(), mean(0), mean(0), z, steps=2, scale=1.0)
    a, b = Line.alphas_cumprod[99], Line.alphas_cumprod[49]
    eps = (z - a.sqrt() * z / 2) / (1 - a).sqrt()
    torch.testing.assert_close(done, (b.sqrt() * z / 2 + (1 - b).sqrt() * eps) / 2)


def test_sampling_agrees_with_diffusers_ddim(model_dir) -> None:
    """The scheduler's own loop, trailing spacing, eta 0, guidance 7.5."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    guidance = diffusion.load(model_dir)
    z = noise(5, 1, 4, 8, 8)
    text, empty = guidance.embed(["a red mug"]), guidance.embed([""])
    ours = sample(guidance, text, empty, z, steps=5, scale=7.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = StableDiffusionPipeline.from_pretrained(model_dir, local_files_only=True)
    pipe.scheduler = DDIMScheduler.from_config(
        pipe.scheduler.config, timestep_spacing="trailing", set_alpha_to_one=True
    )
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(
        "a red mug", latents=z, num_inference_steps=5, guidance_scale=7.5, output_type="latent"
    ).images
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_a_start_is_kept_at_low_noise(model_dir) -> None:
    class Keep(Line):
        def predict(self, z_t, t, condition) -> Prediction:
            a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
            return Prediction(eps=torch.zeros_like(z_t), x0=z_t / a.sqrt())

    start = noise(1, 1, 4, 8, 8)
    done = sample(
        Keep(), mean(0), mean(0), noise(0, 1, 4, 8, 8), steps=2, scale=1.0,
        start=start, start_share=0.05,
    )  # fmt: skip
    assert (done - start).abs().max() < 1.2 and (done - start).abs().max() > 1e-3


# --- what goes wrong ---


def refused(path: Path, *said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_any(path)
    text = str(caught.value)
    assert "\n" not in text and all(part in text for part in said), text


def test_no_directory_and_no_pipeline(tmp_path) -> None:
    refused(tmp_path / "nothing", "nothing", "no such directory")
    refused(tmp_path, "model_index.json is missing")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", "no such directory")


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_a_truncated_weight_file_is_named(broken, part) -> None:
    path = broken / part / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    refused(broken, str(path), "cut short")


def test_pickled_weights_are_never_loaded(broken) -> None:
    path = broken / "text_encoder" / "model.safetensors"
    path.rename(path.with_name("pytorch_model.bin"))
    refused(broken, "pytorch_model.bin", "never loaded")


def test_weights_that_lack_or_spoil_a_tensor(broken) -> None:
    from safetensors.torch import load_file, save_file

    path = broken / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    whole = weights.pop("encoder.conv_in.bias")
    save_file(weights, path)
    refused(broken, str(broken / "vae"), "encoder.conv_in.bias")
    save_file({**weights, "encoder.conv_in.bias": whole[:2].clone()}, path)
    refused(broken, str(broken / "vae"), "encoder.conv_in.bias")
    save_file({**weights, "encoder.conv_in.bias": whole / 0}, path)
    refused(broken, str(broken / "vae"), "not finite")


def test_missing_and_unreadable_parts(broken, model_dir) -> None:
    for path in (
        "vae/config.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer.json",
        "unet/diffusion_pytorch_model.safetensors",
    ):  # fmt: skip
        (broken / path).unlink()
        refused(broken, str((broken / path).parent))
        (broken / path).write_text("{")
        refused(broken, str((broken / path).parent))
        shutil.copy(model_dir / path, broken / path)
    assert load_any(broken).image_size == 32


def test_other_kinds_of_pipelines_are_refused_by_name(broken) -> None:
    index = broken / "model_index.json"
    tiny_pipeline.edit_json(index, text_encoder_2=["transformers", "T5EncoderModel"])
    refused(broken, "text_encoder_2", "T5EncoderModel", "CLIPTextModelWithProjection")
    tiny_pipeline.edit_json(index, text_encoder_2=None, unet=["diffusers", "Kandinsky3UNet"])
    refused(broken, "Kandinsky3UNet", "UNet2DConditionModel")
    tiny_pipeline.edit_json(index, unet=None)
    refused(broken, "unet")
    index.write_text("[]")
    refused(broken, "JSON object")


def test_an_unknown_kind_of_prediction_is_refused(broken) -> None:
    path = broken / "scheduler" / "scheduler_config.json"
    tiny_pipeline.edit_json(path, prediction_type="flow_prediction")
    refused(broken, "flow_prediction")


def test_a_half_precision_variant_is_found(broken) -> None:
    for path in broken.rglob("*.safetensors"):
        path.rename(path.with_name(f"{path.stem}.fp16.safetensors"))
    assert load_any(broken).image_size == 32
