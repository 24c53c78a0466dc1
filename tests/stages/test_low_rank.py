"""The learned copy of a model: how it starts, what it learns, where it is kept."""

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from splatworks.pipeline.errors import InputError
from splatworks.stages.distill import checkpoint
from splatworks.stages.distill.learning import new_copy, taught
from splatworks.stages.distill.opinion import Latents, Lesson, Manner, opinion
from splatworks.stages.distill.settings import Guide, Inversion
from splatworks.stages.guidance import diffusion, low_rank

from . import striped_ball, tiny_pipeline
from .distill_setup import make_state


@pytest.fixture(scope="module")
def guidance(tmp_path_factory):
    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("sd") / "model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny_pipeline.build(folder)
    yield diffusion.load(folder)
    diffusion.forget()


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_new_copy_answers_as_the_model_does(guidance) -> None:
    copy = new_copy(guidance, 4, seed=0)
    names = [name for name in copy.values if name.endswith(".down")]
    attention = sum(1 for name, _ in guidance.unet.named_modules() if name.endswith("to_q"))
    assert len(names) == 4 * attention > 0
    z_t, t, text = draw(0, 2, 4, 8, 8), torch.tensor([30, 700]), guidance.embed(["a mug", ""])
    own = guidance.predict(z_t, t, text)
    got = low_rank.predict(guidance, copy.values, z_t, t, text, draw(1, 2, 12))
    torch.testing.assert_close(got.eps, own.eps)


def test_a_change_of_low_rank_is_added_to_the_weights(guidance) -> None:
    """Against a model whose own weight was changed by hand."""
    values = dict(new_copy(guidance, 2, seed=0).values)
    name = next(key for key in values if key.endswith("to_v.up")).removesuffix(".up")
    values[f"{name}.up"] = draw(5, *values[f"{name}.up"].shape)
    z_t, t, text = draw(0, 1, 4, 8, 8), torch.tensor([400]), guidance.embed(["a mug"])
    got = low_rank.predict(guidance, values, z_t, t, text, torch.zeros(1, 12))
    layer = guidance.unet.get_submodule(name)
    before = layer.weight.data.clone()
    try:
        layer.weight.data += values[f"{name}.up"] @ values[f"{name}.down"]
        changed = guidance.predict(z_t, t, text)
    finally:
        layer.weight.data = before
    torch.testing.assert_close(got.eps, changed.eps)
    assert not torch.allclose(got.eps, guidance.predict(z_t, t, text).eps)


def test_the_pose_is_added_to_the_text(guidance) -> None:
    values = dict(new_copy(guidance, 2, seed=0).values)
    values[low_rank.POSE] = draw(3, *values[low_rank.POSE].shape)
    z_t, t, text = draw(0, 1, 4, 8, 8), torch.tensor([400]), guidance.embed(["a mug"])
    pose = draw(4, 1, 12)
    got = low_rank.predict(guidance, values, z_t, t, text, pose)
    moved = replace(
        text,
        tensors={"states": text.tensors["states"] + (pose @ values[low_rank.POSE].T)[:, None]},
    )
    torch.testing.assert_close(got.eps, guidance.predict(z_t, t, moved).eps)


def lesson(guidance, copy, told: float = 1.0) -> tuple[Latents, Manner]:
    z = draw(1, 2, 4, 8, 8)
    text = guidance.embed(["a mug", "a red mug"])
    given = Lesson(copy.values, torch.tensor([100, 800]), draw(2, *z.shape), draw(3, 2, 12),
                   torch.full((2,), told))  # fmt: skip
    latents = Latents(z, text, guidance.embed(["", ""]), torch.tensor([200, 600]),
                      draw(4, *z.shape), lesson=given)  # fmt: skip
    return latents, Manner("vsd", "sigma2", Guide(scale=3.0, method="cfg"), Inversion())


def denoising_loss(guidance, values, latents: Latents) -> torch.Tensor:
    given = latents.lesson
    a = guidance.alphas_cumprod[given.timesteps].view(-1, 1, 1, 1)
    z_t = a.sqrt() * latents.z + (1 - a).sqrt() * given.noise
    poses = given.poses * given.told[:, None]
    guess = low_rank.predict(guidance, values, z_t, given.timesteps, latents.text, poses)
    return (guess.eps - given.noise).square().flatten(1).mean(dim=1).sum()


def test_its_gradient_agrees_with_finite_differences(guidance) -> None:
    copy = new_copy(guidance, 2, seed=0)
    values = {name: value + 0.1 * draw(9, *value.shape) for name, value in copy.values.items()}
    latents, manner = lesson(guidance, replace(copy, values=values))
    found = opinion(latents, manner, guidance).lesson
    assert set(found) == set(values)
    for name in (low_rank.POSE, *[key for key in values if "attn2" in key][:3]):
        direction = draw(11, *values[name].shape)
        h = 2e-2 / float(direction.norm())
        ahead, behind = (
            denoising_loss(guidance, {**values, name: values[name] + s * h * direction}, latents)
            for s in (1, -1)
        )
        expected = float((ahead - behind) / (2 * h))
        # float32 through a network.
        assert float((found[name] * direction).sum()) == pytest.approx(expected, rel=0.05, abs=1e-3)
    untold, _ = lesson(guidance, replace(copy, values=values), told=0.0)
    assert not opinion(untold, manner, guidance).lesson[low_rank.POSE].any()


def test_at_the_start_the_gradient_is_what_guidance_adds(guidance) -> None:
    """The copy still is the model: eps* - eps = (s - 1)(eps(text) - eps(nothing))."""
    latents, manner = lesson(guidance, new_copy(guidance, 2, seed=0))
    a = guidance.alphas_cumprod[latents.timesteps].view(-1, 1, 1, 1)
    z_t = a.sqrt() * latents.z + (1 - a).sqrt() * latents.noise
    text = guidance.predict(z_t, latents.timesteps, latents.text).eps
    nothing = guidance.predict(z_t, latents.timesteps, latents.unconditional).eps
    got = opinion(latents, manner, guidance).gradient
    torch.testing.assert_close(got, (1 - a) * 2.0 * (text - nothing), rtol=1e-3, atol=1e-5)


def test_lessons_make_it_better_at_what_it_sees(guidance) -> None:
    copy = new_copy(guidance, 4, seed=0)
    latents, manner = lesson(guidance, copy)
    before = float(denoising_loss(guidance, copy.values, latents))
    for k in range(30):
        latents, manner = lesson(guidance, copy)
        found = opinion(latents, manner, guidance).lesson
        copy = taught(copy, [found], steps_before=k, rate=3e-3)
    after = float(denoising_loss(guidance, copy.values, latents))
    assert after < 0.9 * before


def test_lessons_of_several_groups_add_up(guidance) -> None:
    copy = new_copy(guidance, 2, seed=0)
    latents, manner = lesson(guidance, copy)
    found = opinion(latents, manner, guidance).lesson
    double = {name: 2 * value for name, value in found.items()}
    one = taught(copy, [found, found], steps_before=0, rate=1e-3)
    two = taught(copy, [double], steps_before=0, rate=1e-3)
    for name, value in one.first.items():
        assert torch.equal(value, two.first[name])


def test_a_checkpoint_keeps_the_copy(guidance, tmp_path) -> None:
    state = make_state()
    state.copy = new_copy(guidance, 2, seed=1)
    checkpoint.save(state, tmp_path, "x")
    back = checkpoint.load(tmp_path, "x", "cpu")
    assert back is not None and back.copy is not None
    for part in ("values", "first", "second"):
        kept, found = getattr(state.copy, part), getattr(back.copy, part)
        assert set(kept) == set(found)
        assert all(torch.equal(kept[name], found[name]) for name in kept)
    state.copy = None
    checkpoint.save(state, tmp_path, "y")
    assert checkpoint.load(tmp_path, "y", "cpu").copy is None


def test_what_cannot_learn_says_so() -> None:
    with pytest.raises(InputError, match="the oracle has none"):
        new_copy(striped_ball.oracle(16, per_word=1), 4, seed=0)
