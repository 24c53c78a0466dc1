"""The picture of the encodings' results: speed by dimension, and quality over seconds."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PANEL, MARGIN = (420, 300), 52
COLORS = {"simplex": (200, 60, 30), "cubic": (40, 90, 190), "kuhn": (60, 150, 70),
          "matched": (150, 60, 170)}  # fmt: skip


def draw(results: dict, path: Path) -> None:
    """One panel per part that has results."""
    panels = []
    if "speed" in results:
        rows = [r for r in results["speed"]["by dimension"] if r["threads"] == 1]
        for count in sorted({r["points"] for r in rows}):
            curves = {
                lattice: [
                    (r["dims"], r[f"{lattice} both ms"]) for r in rows if r["points"] == count
                ]
                for lattice in ("simplex", "cubic")
            }
            title = f"forward + backward, {count:,} points: ms by dimension"
            panels.append(panel(title, curves, logarithmic=True))
    if "image" in results:
        size = results["image"]["megapixels"]
        panels.append(panel(f"photograph, {size} Mpx: dB over s", results["image"]["curves"]))
    for name, found in results.get("sdf", {}).items():
        if "curves" in found:
            curves = {k: [(s, -q) for s, q in c] for k, c in found["curves"].items()}
            title = f"{name}: |distance| on the surface, % of side, over s"
            panels.append(panel(title, curves, logarithmic=True))
    if "radiance" in results:
        panels.append(panel("radiance field: dB over s", results["radiance"]["curves"]))
    if not panels:
        return
    columns = 2
    panels += [Image.new("RGB", PANEL, "white")] * (-len(panels) % columns)
    sheet = Image.new("RGB", (PANEL[0] * columns, PANEL[1] * len(panels) // columns), "white")
    for number, one in enumerate(panels):
        sheet.paste(one, (number % columns * PANEL[0], number // columns * PANEL[1]))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def panel(title: str, curves: dict, *, logarithmic: bool = False) -> Image.Image:
    """Curves in one frame, the first tenth of each left out of the scale."""
    image = Image.new("RGB", PANEL, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    pen.text((MARGIN, 6), title, "black", font)
    lines = {name: np.array(points, float) for name, points in curves.items() if points}
    if logarithmic:
        lines = {k: np.stack([v[:, 0], np.log10(v[:, 1])], axis=1) for k, v in lines.items()}
    late = np.concatenate([line[len(line) // 10 :] for line in lines.values()])
    low, high = late.min(axis=0), late.max(axis=0)
    span = np.maximum(high - low, 1e-9)
    left, top, right, bottom = MARGIN, 28, PANEL[0] - 14, PANEL[1] - 28
    pen.rectangle((left, top, right, bottom), outline=(170, 170, 170))
    for share in (0, 0.5, 1):
        x, y = low + share * span
        shown = 10**y if logarithmic else y
        pen.text((4, bottom - share * (bottom - top) - 7), f"{shown:.3g}", "black", font)
        label = f"{x:.3g}"
        pen.text(
            (left + share * (right - left - pen.textlength(label, font)), bottom + 6),
            label, "black", font,
        )  # fmt: skip
    rising = np.mean([line[-1, 1] for line in lines.values()]) > low[1] + span[1] / 2
    names = bottom - 17 * len(lines) - 6 if rising else top + 8
    for number, (name, line) in enumerate(lines.items()):
        unit = (line - low) / span
        places = [
            (left + u * (right - left), bottom - v * (bottom - top))
            for u, v in unit
            if -0.01 <= v <= 1.01 and u <= 1.01
        ]
        if len(places) > 1:
            pen.line(places, COLORS[name], 2)
        pen.text((right - 70, names + 17 * number), name, COLORS[name], font)
    return image
