"""A picture of how well the compiled splat renderer agrees with the float64 reference.

    python benchmarks/rasterize_agreement.py agreement.png

For each scene of tests/renderers/scenes.py: `cpu`, `reference`, and their difference times 1000.
Prints, per scene, the largest difference and the share of pixels beyond 1e-4.
"""

import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from splatworks.renderers import cpu, reference

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.renderers.scenes import CASES

ROW_PX, LABEL_PX, GAP_PX = 96, 14, 6
LABEL_LEAST_PX = 400
"""Room for the words above a row."""


def scaled(values: torch.Tensor) -> Image.Image:
    """To the height of a row, without mixing pixels."""
    image = Image.fromarray((values.clamp(0, 1) * 255).round().byte().numpy())
    width = round(ROW_PX * image.width / image.height)
    return image.resize((width, ROW_PX), Image.Resampling.NEAREST)


def main() -> None:
    rows = []
    for name, (scene, cameras) in CASES.items():
        with torch.no_grad():
            found = cpu.render(scene, cameras).rgb[0].double()
            wanted = reference.render(scene, cameras).rgb[0]
        error = (found - wanted).abs()
        beyond = (error.amax(-1) > 1e-4).double().mean().item()
        text = f"{name}: largest {error.max().item():.1e}, beyond 1e-4: {100 * beyond:.2f} %"
        print(text)
        rows.append((text, [scaled(v) for v in (found, wanted, 1000 * error)]))
    ends = [sum(i.width + GAP_PX for i in images) for _, images in rows]
    columns = [ends[:4], ends[4:8], ends[8:]]
    lefts = [sum(max(*c, LABEL_LEAST_PX) + GAP_PX for c in columns[:k]) for k in range(4)]
    sheet = Image.new("RGB", (lefts[3], 4 * (ROW_PX + LABEL_PX + GAP_PX)), "white")
    draw = ImageDraw.Draw(sheet)
    for k, (text, images) in enumerate(rows):
        x, y = lefts[k // 4], k % 4 * (ROW_PX + LABEL_PX + GAP_PX)
        draw.text((x, y), text, fill="black")
        for image in images:
            sheet.paste(image, (x, y + LABEL_PX))
            x += image.width + GAP_PX
    sheet.quantize(256).save(sys.argv[1], optimize=True)


if __name__ == "__main__":
    main()
