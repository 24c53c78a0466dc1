"""Does the embedded prior read its captions? Error of x0 with right and with wrong captions.

    python benchmarks/prior_reads.py [--guidance data/toybox] [--props 2] [--kinds mug,chair]

Held-out props are ray-cast from four sides on gray, noised, and denoised with four captions:
the right one, the opposite side, another kind, and none. A prior that cannot tell sides apart has
equal errors in the first two columns. Prints one line per kind and noise level: mean squared error
per latent value (variance near 1).
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from splatworks.stages.guidance import diffusion
from splatworks.stages.toybox import captions, catalog, props, raycast

BACKGROUND = "gray"
HEIGHT = "eye-level"
SIGNAL_TO_NOISE = (1.0, 0.25, 0.05, 0.01)
OPPOSITE = {
    "front": "back", "front-left": "back-right", "left": "right", "back-left": "front-right",
    "back": "front", "back-right": "front-left", "right": "left", "front-right": "back-left",
}  # fmt: skip
SIDES = ("front", "front-left", "left", "back")


def main() -> None:
    parser = argparse.ArgumentParser()
    shipped = Path(__file__).parents[1] / "data" / "toybox"
    parser.add_argument("--guidance", type=Path, default=shipped)
    parser.add_argument("--props", type=int, default=2, help="held-out props per kind")
    parser.add_argument("--kinds", default=",".join(catalog.KINDS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    guidance = diffusion.load(options.guidance)
    heldout = [toy for toy in props.make(props.Config(), 0) if toy.split == "heldout"]
    print(f"{'kind':10} {'SNR':>5} {'right':>7} {'opposite':>9} {'other kind':>11} {'none':>7}")
    for kind in options.kinds.split(","):
        toys = [toy for toy in heldout if toy.kind == kind][: options.props]
        for snr, errors in measure(guidance, toys):
            right, opposite, other, none = errors
            print(f"{kind:10} {snr:5} {right:7.3f} {opposite:9.3f} {other:11.3f} {none:7.3f}")


@torch.no_grad()
def measure(
    guidance: diffusion.DiffusionGuidance, toys: list[props.Prop]
) -> Iterator[tuple[float, list[float]]]:
    """Per noise level the errors with the four captions, over all toys and sides."""
    clean = guidance.encode(torch.cat([picture(toy, side) for toy in toys for side in SIDES]))
    views = [(toy, side) for toy in toys for side in SIDES]
    texts = [
        [caption(toy, side) for toy, side in views],
        [caption(toy, OPPOSITE[side]) for toy, side in views],
        [caption(other_kind(toy), side) for toy, side in views],
        ["" for _ in views],
    ]
    draw = torch.Generator().manual_seed(0)
    signal = guidance.alphas_cumprod / (1 - guidance.alphas_cumprod)
    for snr in SIGNAL_TO_NOISE:
        t = int((signal / snr).log().abs().argmin())
        power = guidance.alphas_cumprod[t]
        noise = torch.randn(clean.shape, generator=draw)
        noisy = power.sqrt() * clean + (1 - power).sqrt() * noise
        times = torch.full((len(clean),), t)
        answers = [guidance.predict(noisy, times, guidance.embed(said)).x0 for said in texts]
        yield snr, [float((answer - clean).square().mean()) for answer in answers]


def picture(toy: props.Prop, side: str) -> torch.Tensor:
    """One ray-cast picture in [0, 1], (1, 3, height, width)."""
    view = raycast.View(catalog.AZIMUTHS[side], catalog.ELEVATIONS[HEIGHT])
    pixels = raycast.Model(toy).picture(view, catalog.BACKGROUNDS[BACKGROUND])
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def caption(toy: props.Prop, side: str) -> str:
    """In the words that `distill` uses."""
    text = captions.TEMPLATE.format(prompt=captions.describe(toy), azimuth=side, elevation=HEIGHT)
    return captions.BACKGROUND_TEMPLATE.format(prompt=text, background=BACKGROUND)


def other_kind(toy: props.Prop) -> props.Prop:
    """The same words for another thing, without the part that only this kind has."""
    number = catalog.KINDS.index(toy.kind) + 5
    return replace(toy, kind=catalog.KINDS[number % len(catalog.KINDS)], part_color="")


if __name__ == "__main__":
    main()
