"""The rows as a page: tables of medians, the goals, and a contact sheet beside it."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import goals
import numpy as np
from judge import glb, views
from judge.score import Original, look, sound
from PIL import Image, ImageDraw, ImageFont
from tools import Tool

RATIOS = (0.5, 0.1, 0.05, 0.02, 0.01)
SHOWN = ("dutch_ship", "corset", "kaykit_rogue", "citroen_van")
SHOWN_TOOLS = ("ours", "blender", "meshlab_textured", "gltfpack", "meshopt_textured")
SHOWN_RATIO = 0.1
CELL_PX = 224
NOTES = "## Notes\n"
"""From here on the page is written by hand and kept."""
VARIANT = "-"
"""Stands in the names of tools that are another one with one thing changed, after its name."""
COLORS = 96
"""Of the sheet's palette."""

DEFINITIONS = """\
Twelve cameras on a Fibonacci sphere, 512 x 512 pixels, one ray through each pixel's centre,
textures trilinear, both sides of faces seen, cut-outs looked through.

- **Color** and **normal** are PSNR in dB over the union of the two silhouettes, all views pooled,
  on middle gray. Normals are those of the faces, turned to the camera, without normal maps.
- **IoU** is of the silhouettes, **SSIM** of the gray pictures over the same union.
- **Chamfer** is the mean of the two mean distances (40 000 samples each way), **Hausdorff** the
  largest, both in % of the original's diagonal.
- **Bleeding** is the share, in %, of the pixels showing the same spot of the surface (depth within
  1 % of the diagonal) whose color differs by 0.25 or more from every color within 1 % of the
  diagonal around it in the original's picture. Mixtures that a blur leaves of two colors count.
- **Reached** counts the meshes that came within 10 % of the asked faces, **lost** the parts larger
  than 2 % of the area that are gone, **bad** the files with faults (not finite, index out of range,
  degenerate or duplicate faces), **failed** those without a readable file.

Skinned meshes are seen with their bones at rest.

Cells are medians over the meshes on which the tool gave a readable file.
"""


def read_rows(out: Path) -> dict[tuple[str, str, float], dict[str, Any]]:
    rows = [json.loads(path.read_text()) for path in sorted((out / "rows").glob("*/*.json"))]
    return {(row["tool"], row["mesh"], row["ratio"]): row for row in rows}


def write(meshes_in: Path, out: Path, page: Path, tools: dict[str, Tool]) -> None:
    """The page with its sheet at `images/` beside it; the goals are also printed."""
    rows = read_rows(out)
    meshes = sorted(path.stem for path in meshes_in.glob("*.glb"))
    peers = [name for name, tool in tools.items() if tool.textured and not tool.ours]
    judged = goals.check(rows, meshes, peers)
    for goal in judged:
        print(goal)
    picture = page.parent / "images" / f"{page.stem}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    shown = [name for name in SHOWN if name in meshes]
    sheet(meshes_in, out, shown, [t for t in SHOWN_TOOLS if t in tools], tools).save(
        picture, optimize=True
    )
    whole = {name: tool for name, tool in tools.items() if VARIANT not in name}
    passed = sum(goal.passed for goal in judged)
    text = [
        "# Simplifying textured meshes: the benchmark",
        "",
        f"{len(meshes)} meshes ({', '.join(meshes)}), made by `python benchmarks/simplify/`.",
        "Ours with maps of 1024 x 1024; the others keep the textures that they were given.",
        "",
        DEFINITIONS,
        "## Textured",
        "",
        *table(rows, meshes, {n: t for n, t in whole.items() if t.textured}),
        "",
        "## Geometry only, with the original's colors at the nearest point",
        "",
        *table(rows, meshes, {n: t for n, t in whole.items() if not t.textured}),
        "",
        "## What each part buys",
        "",
        "Ours with one thing changed against ours as it is, on the meshes that have both: medians",
        "of the differences (of Chamfer: of the ratios), the worst in parentheses.",
        "",
        *ablation(rows, meshes, tools),
        "",
        "## Time and memory, one thread, medians at 10 %",
        "",
        *cost(rows, meshes, whole),
        "",
        f"## Pictures at {SHOWN_RATIO:.0%}",
        "",
        f"![Original and tools](images/{picture.name})",
        "",
        f"## Goals: {passed} of {len(judged)} reached",
        "",
        "```",
        *map(str, judged),
        "```",
        "",
    ]
    page.write_text("\n".join(text) + _kept(page))


def _kept(page: Path) -> str:
    """What people wrote at the end of the page."""
    old = page.read_text() if page.is_file() else ""
    return "\n" + old[old.index(NOTES) :] if NOTES in old else ""


def table(rows: dict, meshes: Sequence[str], tools: dict[str, Tool]) -> list[str]:
    lines = [
        "| tool | ratio | color | SSIM | normal | IoU | Chamfer | Hausdorff | bleeding |"
        " reached | lost | bad | failed |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, tool in tools.items():
        for ratio in RATIOS:
            found = [rows[name, mesh, ratio] for mesh in meshes if (name, mesh, ratio) in rows]
            if found:
                lines.append(_line(tool.title, ratio, found))
    return lines


def _line(title: str, ratio: float, found: list[dict[str, Any]]) -> str:
    good = [row for row in found if not row["error"]]
    cells = [title, f"{ratio:.0%}"]

    def middle(key: str, form: str, scale: float = 1) -> str:
        return form.format(scale * median(row[key] for row in good)) if good else "-"

    cells += [
        middle("color_psnr_db", "{:.1f}"),
        middle("color_ssim", "{:.3f}"),
        middle("normal_psnr_db", "{:.1f}"),
        middle("iou", "{:.3f}"),
        middle("chamfer", "{:.3f}", 100),
        middle("hausdorff", "{:.1f}", 100),
        middle("bleeding", "{:.2f}", 100),
        f"{sum(row['faces'] <= goals.NEAR * row['asked'] for row in good)}/{len(found)}",
        str(sum(len(row["lost_parts"]) for row in good)),
        str(sum(_faulty(row) for row in good)),
        str(len(found) - len(good)),
    ]
    return "| " + " | ".join(cells) + " |"


def _faulty(row: dict[str, Any]) -> bool:
    """Coordinates outside of [0, 1] are right for the tools that keep the original's."""
    return any(value for name, value in row["faults"].items() if name != "uv_outside")


def ablation(rows: dict, meshes: Sequence[str], tools: dict[str, Tool]) -> list[str]:
    lines = [
        "| changed | ratio | meshes | color, dB | normal, dB | IoU | Chamfer, times |"
        " bleeding, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, tool in tools.items():
        base = name.split(VARIANT)[0]
        for ratio in RATIOS if base != name else ():
            keys = [((name, mesh, ratio), (base, mesh, ratio)) for mesh in meshes]
            pairs = [(rows[a], rows[b]) for a, b in keys if a in rows and b in rows]
            pairs = [(a, b) for a, b in pairs if not a["error"] and not b["error"]]
            if pairs:
                lines.append(_difference(tool.title, ratio, pairs))
    return lines


def _difference(title: str, ratio: float, pairs: list[tuple[dict, dict]]) -> str:
    cells = [title, f"{ratio:.0%}", str(len(pairs))]
    for key, form in (
        ("color_psnr_db", "{:+.2f}"),
        ("normal_psnr_db", "{:+.2f}"),
        ("iou", "{:+.4f}"),
    ):
        found = [a[key] - b[key] for a, b in pairs]
        cells.append(f"{form.format(median(found))} ({form.format(min(found))})")
    found = [a["chamfer"] / max(b["chamfer"], 1e-12) for a, b in pairs]
    cells.append(f"{median(found):.3f} ({max(found):.2f})")
    found = [100 * (a["bleeding"] - b["bleeding"]) for a, b in pairs]
    cells.append(f"{median(found):+.3f} ({max(found):+.2f})")
    return "| " + " | ".join(cells) + " |"


def cost(rows: dict, meshes: Sequence[str], tools: dict[str, Tool]) -> list[str]:
    lines = [
        "| tool | textured | collapses alone, s | k faces/s | whole process, s | memory, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for name, tool in tools.items():
        found = [rows[name, mesh, 0.1] for mesh in meshes if (name, mesh, 0.1) in rows]
        found = [row for row in found if not row["error"]]
        if not found:
            continue
        core = [row for row in found if row["core_s"]]
        alone = f"{median(row['core_s'] for row in core):.3f}" if core else "-"
        speed = median(row["input"] / row["core_s"] / 1e3 for row in core) if core else None
        lines.append(
            f"| {tool.title} | {'yes' if tool.textured else 'no'} | {alone} |"
            f" {'-' if speed is None else f'{speed:.0f}'} |"
            f" {median(row['total_s'] for row in found):.1f} |"
            f" {median(row['peak_bytes'] for row in found) / 2**20:.0f} |"
        )
    return lines


def sheet(
    meshes_in: Path, out: Path, meshes: Sequence[str], names: Sequence[str], tools: dict[str, Tool]
) -> Image.Image:
    """One row per mesh: the original, then each tool, from one side."""
    band = 18
    titles = ["original", *(tools[name].title for name in names)]
    wide, high = CELL_PX * len(titles), band + (CELL_PX + band) * len(meshes)
    image = Image.new("RGB", (wide, high), (128, 128, 128))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for column, title in enumerate(titles):
        draw.text((column * CELL_PX + 4, 2), title, (255, 255, 255), font)
    for k, mesh in enumerate(meshes):
        original = Original(meshes_in / f"{mesh}.glb", size_px=2 * CELL_PX)
        top = band + k * (CELL_PX + band)
        for column, name in enumerate(["", *names]):
            path = out / "meshes" / mesh / f"{name}-{SHOWN_RATIO:g}.glb"
            if name and not path.is_file():
                draw.text((column * CELL_PX + 4, top + 4), "failed", (255, 255, 255), font)
                continue
            seen, faces = original.views, len(original.surface.model.faces)
            if name:
                surface = views.Surface(sound(glb.read(path)))
                seen, faces = look(surface, original), len(surface.model.faces)
            image.paste(_cell(seen[3]), (column * CELL_PX, top))
            words = f"{mesh}, {faces:,} faces"
            draw.text((column * CELL_PX + 4, top + CELL_PX), words, (255, 255, 255), font)
    return image.quantize(COLORS, dither=Image.Dither.NONE)


def _cell(view: views.View) -> Image.Image:
    """Lit a little by the normal, so that shape is seen where the texture is plain."""
    toward = np.float32([0.35, 0.75, 0.56])
    light = 0.7 + 0.3 * (view.normal @ toward)[..., None].clip(-0.5, 1)
    picture = np.where(view.mask[..., None], view.rgb * light, 0.5).clip(0, 1)
    halved = picture.reshape(CELL_PX, 2, CELL_PX, 2, 3).mean(axis=(1, 3))
    return Image.fromarray(np.rint(255 * halved).astype(np.uint8))
