"""Where the time of one distillation step goes, at the embedded prior's sizes.

    python benchmarks/distill_speed.py

Random weights: speed does not depend on them. Times are CPU time of one thread for the two views
that go through the networks together; a step of four views is twice that, on two cores at once.
"""

import json
import os
import statistics
import sys
import time

# Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from splatworks.renderers import cpu
from splatworks.stages.distill.clip import clip_pixels
from splatworks.stages.geometry.orbit import look_at_origin
from splatworks.stages.guidance.cfg import predict_guided, stack
from splatworks.stages.guidance.diffusion import DiffusionGuidance
from splatworks.stages.guidance.text import TextEncoder
from splatworks.stages.guidance.view_words import STABLE_DIFFUSION
from splatworks.stages.shape.blob import blob
from splatworks.stages.toybox import networks

VIEWS = 2


def guidance() -> DiffusionGuidance:
    rng = torch.Generator().manual_seed(0)
    words = networks.build_tokenizer(["a", "red", "mug"], length=32)
    return DiffusionGuidance(
        unet=networks.seeded(
            lambda: networks.build_unet((32, 80, 144), (2, 2, 4), latent_size=32, text_width=128),
            rng,
        ),
        vae=networks.seeded(lambda: networks.build_vae((16, 32, 96), image_size_px=128), rng),
        text_encoders=[
            TextEncoder(
                words,
                networks.seeded(
                    lambda: networks.build_text_encoder(words, width=128, layers=3), rng
                ),
            )
        ],
        scheduler_config=dict(networks.build_scheduler().config),
        view_words=STABLE_DIFFUSION,
    )


def milliseconds(action, repeats: int = 9) -> float:
    action()
    took = []
    for _ in range(repeats):
        begun = time.thread_time()
        action()
        took.append(1e3 * (time.thread_time() - begun))
    return round(statistics.median(took), 1)


def main() -> int:
    torch.set_num_threads(1)
    model = guidance()
    text, empty = (stack([model.embed([words])] * VIEWS) for words in ("a red mug", ""))
    z, t = torch.randn(VIEWS, 4, 32, 32), torch.tensor([300, 500])
    images = torch.rand(VIEWS, 3, 128, 128, requires_grad=True)
    views = look_at_origin([0, 90], [15, 15], distance_m=1.8, fovy_deg=40, size_px=(128, 128))
    scene = blob(8000, 0.5, seed=0)
    leaves = [scene.means, scene.quaternions, scene.scales, scene.opacities, scene.sh]
    for leaf in leaves:
        leaf.requires_grad_()

    def render() -> None:
        frames = cpu.render(scene, views)
        torch.autograd.grad(frames.rgb.sum() + frames.alpha.sum(), leaves)

    parts = {
        "render, forward and backward, 8000 Gaussians": render,
        "image encoder, forward and backward": lambda: torch.autograd.grad(
            model.encode(images).sum(), images
        ),
        "UNet with and without text, APG": lambda: predict_guided(
            model, z, t, text, empty, scale=7.5, method="apg"
        ),
        "UNet with text only": lambda: predict_guided(model, z, t, text, empty, scale=1.0),
        "clipping": lambda: clip_pixels(images.detach(), 0.1),
    }
    found = {name: milliseconds(action) for name, action in parts.items()}
    total = sum(v for name, v in found.items() if name != "UNet with text only")
    found["two views together"] = round(total, 1)
    found["share of clipping"] = round(found["clipping"] / total, 4)
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
