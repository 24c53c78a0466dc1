"""ControlNets: diffusers' own pipeline as the judge, hints of known depth, what does not fit."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trimesh
from splatworks.pipeline.errors import InputError
from splatworks.stages import text_texture
from splatworks.stages.artifacts import GuidanceDir
from splatworks.stages.distill.questions import Task
from splatworks.stages.distill.settings import Guide, Looks
from splatworks.stages.guidance import diffusion
from splatworks.stages.guidance.control import HINT, follows_hints, hinted
from splatworks.stages.guidance.memory import call_bytes, weight_bytes
from splatworks.stages.guidance.sample import sample
from splatworks.stages.text_texture import sampled
from splatworks.stages.text_texture.depth import FARTHEST, hints
from splatworks.stages.text_texture.lesson import Lesson
from splatworks.stages.text_texture.stage import paint
from splatworks.stages.text_texture.surface import look

from . import striped_ball, tiny_pipeline
from .distill_setup import Embedded, context
from .test_text_texture import SMALL, ball, inputs, oracle, results, small_field, subject

__all__ = ["inputs", "oracle"]  # Fixtures.

PAINT = replace(SMALL, iterations=2, guide=Guide(scale=3.0), texture_size_px=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tiny_pipeline.build_controlled(tmp_path_factory.mktemp("control") / "model")


@pytest.fixture(scope="module")
def guidance(folder) -> diffusion.DiffusionGuidance:
    return diffusion.load(folder)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pattern(rows: int) -> torch.Tensor:
    return torch.rand(rows, 3, 32, 32, generator=torch.Generator().manual_seed(9))


# --- the model ---


@pytest.mark.parametrize("strength, xl", [(1.0, False), (0.4, False), (0.7, True)])
def test_sampling_with_a_hint_is_that_of_diffusers(folder, tmp_path, strength, xl) -> None:
    """Its whole ControlNet pipelines, from the same noise."""
    import diffusers

    kind = "StableDiffusionXL" if xl else "StableDiffusion"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if xl:
            folder = tiny_pipeline.build_controlled(tmp_path / "xl", xl=True)
        guidance = diffusion.load(folder)
        theirs = getattr(diffusers, f"{kind}ControlNetPipeline").from_pretrained(
            folder, torch_dtype=torch.float32
        )
        theirs.scheduler = diffusers.DDIMScheduler.from_config(
            theirs.scheduler.config, timestep_spacing="trailing", set_alpha_to_one=True,
            clip_sample=False,
        )  # fmt: skip
        theirs.set_progress_bar_config(disable=True)
        noise, hint = drawn(1, 4, 8, 8), pattern(1)
        expected = theirs(
            "a red mug", image=hint, num_inference_steps=4, guidance_scale=3.0,
            latents=noise.clone(), output_type="latent",
            controlnet_conditioning_scale=strength,
        ).images  # fmt: skip
    text, empty = (hinted(guidance.embed([each]), hint, strength) for each in ("a red mug", ""))
    found = sample(guidance, text, empty, noise, steps=4, scale=3.0)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    plain = sample(guidance, guidance.embed(["a red mug"]), guidance.embed([""]), noise,
                   steps=4, scale=3.0)  # fmt: skip
    assert (plain - expected).abs().max() > 0.05


def test_each_row_follows_its_own_hint_and_strength(guidance) -> None:
    z, t, both = drawn(2, 4, 8, 8), torch.tensor([400, 100]), pattern(2)
    text = guidance.embed(["a red mug", "a mug"])
    together = guidance.predict(z, t, hinted(text, both, 0.7)).eps
    for row in range(2):
        one = hinted(guidance.embed([["a red mug", "a mug"][row]]), both[row : row + 1], 0.7)
        alone = guidance.predict(z[row : row + 1], t[row : row + 1], one).eps
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)


def test_without_a_hint_or_strength_the_model_is_itself(folder, guidance) -> None:
    z, t, text = drawn(1, 4, 8, 8), torch.tensor([400]), guidance.embed(["a red mug"])
    plain = guidance.predict(z, t, text).eps
    torch.testing.assert_close(guidance.predict(z, t, hinted(text, pattern(1), 0.0)).eps, plain)
    assert (guidance.predict(z, t, hinted(text, pattern(1), 1.0)).eps - plain).abs().max() > 0.01
    assert follows_hints(guidance) and not follows_hints(striped_ball.oracle(16, per_word=1))


def test_memory_counts_the_controlnet(folder, guidance, tmp_path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = diffusion.load(tiny_pipeline.build(tmp_path / "plain"))
    extra = sum(p.numel() * p.element_size() for p in guidance.control.parameters())
    assert weight_bytes(guidance) == weight_bytes(plain) + extra
    assert call_bytes(guidance, 2, 2) > call_bytes(plain, 2, 2)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"block_out_channels": [8, 8]}, "block_out_channels"),
        ({"cross_attention_dim": 8}, "cross_attention_dim"),
        ({"conditioning_embedding_out_channels": [4, 8]}, "2 times smaller"),
        ({"conditioning_channels": 1}, "hints of 1 channels"),
    ],
)
def test_another_models_controlnet_is_refused(folder, tmp_path, change, said) -> None:
    import shutil

    from diffusers import ControlNetModel

    model = tmp_path / "model"
    shutil.copytree(folder, model)
    config = json.loads((model / "controlnet" / "config.json").read_text()) | change
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ControlNetModel.from_config(config).save_pretrained(model / "controlnet")
    with pytest.raises(InputError, match=said) as caught:
        diffusion.load(model)
    assert "\n" not in str(caught.value) and "controlnet" in str(caught.value)


def test_several_controlnets_are_refused(folder, tmp_path) -> None:
    import shutil

    model = tmp_path / "model"
    shutil.copytree(folder, model)
    index = json.loads((model / "model_index.json").read_text())
    index["controlnet"] = ["splat", "MultiControlNetModel"]
    (model / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="controlnet is 'MultiControlNetModel'"):
        diffusion.load(model)


# --- depth ---


def test_a_balls_depth_is_that_of_geometry() -> None:
    """Disparity of a ball by closed form, spread from its rim to the nearest point."""
    what = subject(ball(5))
    angles, size = [(20.0, 10.0), (200.0, 40.0)], 40
    views = striped_ball.cameras(angles, size)
    seen = look(what.surface, what.normals, views, 1)
    found = hints(seen, views).double()
    assert found.shape == (2, 3, size, size)
    assert torch.equal(found[:, 0], found[:, 1]) and torch.equal(found[:, 0], found[:, 2])
    focal, middle = float(views.focal_px[0, 0]), size / 2
    at = (torch.arange(size, dtype=torch.float64) + 0.5 - middle) / focal
    y, x = torch.meshgrid(at, at, indexing="ij")
    a = x**2 + y**2 + 1
    root = 1.8**2 - a * (1.8**2 - 0.25)
    z = (1.8 - root.clamp(min=0).sqrt()) / a
    disparity = torch.where(root > 0, 1 / z, torch.nan)
    near, far = disparity[root > 0].max(), disparity[root > 0].min()
    expected = FARTHEST + (1 - FARTHEST) * (disparity - far) / (near - far)
    inside = root > 0.02
    for view in range(2):
        assert (found[view, 0] - expected)[inside].abs().max() < 0.05
        assert (found[view, 0][root < -0.02] == 0).all()
        assert found[view, 0].max() == 1 and found[view, 0][inside].min() >= FARTHEST


def test_a_flat_sheet_that_faces_the_camera_is_all_near() -> None:
    sheet = trimesh.Trimesh(
        [[-0.3, -0.3, 0], [0.3, -0.3, 0], [0.3, 0.3, 0], [-0.3, 0.3, 0]], [[0, 1, 2], [0, 2, 3]]
    )
    what = subject(sheet)
    views = striped_ball.cameras([(0.0, 0.0)], 16)
    found = hints(look(what.surface, what.normals, views, 1), views)
    assert set(found.unique().tolist()) == {0.0, 1.0}


def test_every_question_is_asked_with_its_own_depth(guidance, tmp_path) -> None:
    config = replace(PAINT, views=Looks(per_step=3, close_up_share=0.0))
    task = Task(guidance, "a red mug", "", config, 5, "cpu")
    asked = []

    def spread(function, items):
        asked.extend(question for question, _ in items)
        return [function(item) for item in items]

    what = subject(ball(2))
    lesson = Lesson(task, config, what, Embedded(guidance), spread, context(tmp_path))
    lesson._asked(small_field(), 3)
    assert [len(question.timesteps) for question in asked] == [2, 1]
    for question in asked:
        seen = look(what.surface, what.normals, question.cameras, config.samples)
        own = hints(seen, question.cameras)
        for condition in (question.text, question.unconditional):
            torch.testing.assert_close(condition.tensors[HINT], own)


# --- painting ---


@pytest.mark.parametrize("start", ["gray", "sampled"])
def test_what_is_painted_follows_the_depth(inputs, folder, tmp_path, monkeypatch, start) -> None:
    monkeypatch.setattr(sampled, "FITS", 1)  # How well the field follows is not asked here.
    given = replace(inputs, guidance=GuidanceDir(folder))
    made = {}
    sampling = text_texture.Sampling(steps=2)
    for strength in (1.0, 0.0):
        config = replace(PAINT, start=start, depth_hint=strength, sampling=sampling)
        run = tmp_path / str(strength)
        paint(given, config, context(run))
        made[strength] = results(run)
        side = run / "scratch" / "side-000.safetensors"
        made[strength]["first side"] = side.read_bytes() if start == "sampled" else b""
    assert made[1.0]["field.safetensors"] != made[0.0]["field.safetensors"]
    assert (made[1.0]["first side"] != made[0.0]["first side"]) == (start == "sampled")
    assert made[1.0]["conditions.safetensors"] == made[0.0]["conditions.safetensors"]
