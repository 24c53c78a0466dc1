"""What the guidance model says about a few views: the gradient by the Gaussians."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...renderers.scene import Cameras, Output, Renderer
from ..geometry.activation import Parameters, activate
from ..geometry.bending import bending
from ..guidance.perp_neg import Negatives
from ..guidance.protocol import Condition, Guidance
from .clip import ClipReport, clip_pixels, percentile
from .image_terms import alpha_gradient, repaired, toward_decoded
from .opinion import Latents, Lesson, Manner, Opinion, opinion
from .settings import Clipping, ImageTerms


@dataclass(frozen=True, slots=True)
class Question:
    """Views that go through the network together, with all that was drawn for them."""

    cameras: Cameras
    backgrounds: Float[Tensor, "view 3"]
    text: Condition
    unconditional: Condition
    timesteps: Int[Tensor, " view"]
    noise: Float[Tensor, "view channel height width"]
    negatives: Negatives | None = None
    lesson: Lesson | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What is the same for all questions of an iteration."""

    manner: Manner
    image: ImageTerms
    clip: Clipping
    clip_threshold: float
    smooth: float = 0.0
    """`Wishes.smooth`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says about pictures, before anything is known of what they show."""

    gradient: Float[Tensor, "view 3 height width"]
    """By the pictures, clipped. Single non-finite pixels are zeroed and counted in `clip`."""
    z: Float[Tensor, "view channel latent_height latent_width"]
    said: Opinion
    clip: ClipReport
    percentile: float
    """Of the gradient before clipping."""

    @property
    def loss(self) -> float:
        """Mean square of the latents' gradient."""
        return float(self.said.gradient.square().mean())

    def checks(self) -> list[tuple[str, Tensor]]:
        """What has to be finite, with names."""
        lesson = self.said.lesson.items()
        copy = [(f"gradient of the copy's {name}", value) for name, value in lesson]
        return [("latents", self.z), ("prediction", self.said.gradient), *copy]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one question, summed over its views."""

    gradients: Parameters
    score: Float[Tensor, " n"]
    """Length of the gradient by each projected centre, per pixel of its motion."""
    seen: Float[Tensor, " n"]
    """In how many views each Gaussian was drawn."""
    loss: float
    """Mean square of the latents' gradient."""
    clip: ClipReport
    percentile: float
    """Of the image gradient before clipping."""
    not_finite: str
    """The first tensor with an inf or nan, or an empty string."""
    lesson: Mapping[str, Tensor]
    """Gradient by the values of the copy that loss `vsd` trains; else empty."""


def judge(
    values: Parameters, question: Question, rules: Rules, guidance: Guidance, renderer: Renderer
) -> Verdict:
    """Render, ask (`answer`), and go back.

    The way back is taken in two parts, latents to image and image to Gaussians, with the image's
    gradient clipped in between.
    """
    names = [entry.name for entry in fields(Parameters)]
    leaves = Parameters(*(getattr(values, name).detach().requires_grad_() for name in names))
    wanted: frozenset[Output] = frozenset(
        {"rgb", "alpha", "depth"} if rules.smooth else {"rgb", "alpha"}
    )
    frames = renderer(activate(leaves), question.cameras, wanted)
    background = question.backgrounds[:, None, None, :]
    composed = (frames.rgb + (1 - frames.alpha) * background).permute(0, 3, 1, 2)

    said = answer(composed.detach(), question, rules, guidance)
    targets = [getattr(leaves, name) for name in names]
    g_alpha = alpha_gradient(frames.alpha.detach(), rules.image.sparse, rules.image.opaque)
    pulls = [(composed, said.gradient.to(composed)), (frames.alpha, g_alpha)]
    if frames.depth is not None:
        bends = bending(frames.depth, frames.alpha, question.cameras.focal_px)
        pulls.append((bends, torch.full_like(bends, rules.smooth * said.percentile)))
    *gradients, g_means2d = torch.autograd.grad(
        [pulled for pulled, _ in pulls],
        [*targets, frames.means2d],
        [gradient for _, gradient in pulls],
    )
    checks = [
        ("rendered image", composed.detach()),
        *said.checks(),
        *zip((f"gradient of {name}" for name in names), gradients, strict=True),
    ]
    return Verdict(
        gradients=Parameters(*gradients),
        score=torch.linalg.vector_norm(g_means2d, dim=-1).sum(dim=0),
        seen=(frames.radii_px > 0).sum(dim=0).to(g_means2d),
        loss=said.loss,
        clip=said.clip,
        percentile=said.percentile,
        not_finite=first_not_finite(checks),
        lesson=said.said.lesson,
    )


def answer(
    pictures: Float[Tensor, "view 3 height width"],
    question: Question,
    rules: Rules,
    guidance: Guidance,
) -> Answer:
    """Encode, ask, and go back to the pictures.

    Args:
        pictures: sRGB, the question's views before its backgrounds.
    """
    image = pictures.detach().requires_grad_()
    z = guidance.encode(image)
    said = opinion(_latents(z.detach(), question), rules.manner, guidance)
    (g_image,) = torch.autograd.grad(z, image, said.gradient)
    g_image = _with_terms(g_image, image.detach(), z.detach(), said, rules.image, guidance)
    share = rules.clip.calibrate_percentile / 100
    clipped = clip_pixels(g_image, rules.clip_threshold, rules.clip.norm)
    return Answer(
        gradient=clipped.gradient,
        z=z.detach(),
        said=said,
        clip=clipped.report,
        percentile=percentile(g_image, share, rules.clip.norm),
    )


def _latents(z: Float[Tensor, "view channel height width"], question: Question) -> Latents:
    return Latents(
        z=z,
        text=question.text,
        unconditional=question.unconditional,
        timesteps=question.timesteps,
        noise=question.noise,
        negatives=question.negatives,
        lesson=question.lesson,
    )


@torch.no_grad()
def _with_terms(
    g: Float[Tensor, "view 3 height width"],
    image: Float[Tensor, "view 3 height width"],
    z: Float[Tensor, "view channel height width"],
    said: Opinion,
    terms: ImageTerms,
    guidance: Guidance,
) -> Float[Tensor, "view 3 height width"]:
    """The picture's gradient with what else pulls at it."""
    if terms.repair:
        look_ahead = guidance.decode(z - terms.repair * said.gradient)
        g = repaired(g, image, look_ahead.to(image))
    if terms.decoded:
        g = g + toward_decoded(image, guidance.decode(said.x0).to(image), terms.decoded)
    return g


def first_not_finite(checks: Sequence[tuple[str, Tensor]]) -> str:
    return next((name for name, tensor in checks if not torch.isfinite(tensor).all()), "")
