"""Which ingredient of distillation does what: the same prompts with one thing changed each.

    python benchmarks/ablation.py OUT [--jobs 2] [--minutes 30] [--set STEP.FIELD=VALUE ...]

Runs the preset `probe` (splats only) for every prompt and row, then writes OUT/ablation.png,
OUT/ablation.json and a table. Repeat the line to continue. All rows of a prompt but
the last three begin with the same shape, which is made once.

What was made is compared with the true toy of its prompt from eight sides; the last
row says what one true toy scores against another. `--scorer` adds the verdict of the shipped
scorer (stages/toybox/scorer), which had no part in making anything. Rows are compared with `full`
prompt by prompt, mean ± standard error: what is less than two of these is called chance. (With
eight prompts, one figure in twelve exceeds them where nothing differs at all.) Where less than
0.1 % of the pixels were clipped, clipping was not at work, and a row that is there to test it is
inactive: it has no result.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import generating
import numpy as np
import true_toys as toys
from splatworks.pipeline.commands.generate import slug
from splatworks.stages.distill.stage import AT_WORK
from splatworks.stages.formats import tensors
from splatworks.stages.preview.contact import Row, contact_sheet

NO_CLIPPING = "distill.clip.norm=none"
REPAIR = "distill.image.repair=0.1"
ROWS: Mapping[str, tuple[str, ...]] = {
    "full": (),
    "no clipping": (NO_CLIPPING,),
    "no APG": ("distill.guide.method=cfg",),
    "no view words": ("distill.views.name_sides=false",),
    "PixSDS": (NO_CLIPPING, REPAIR),
    "clipping + PixSDS": (REPAIR,),
    "hull alone": ("shape.fit_steps=0",),
    "bends free": ("shape.smooth=0", "distill.wishes.smooth=0"),
    "views by themselves": ("shape.redraw_above=1",),
}
"""The settings of each row, on top of the preset's."""
CLIPPING_TESTED = {"no clipping": "full", "clipping + PixSDS": "clipping + PixSDS"}
"""Rows that are there to test clipping, and the row in which it has to be at work for that."""
SIDES = ((0.0, 15.0), (90.0, 15.0), (180.0, 15.0), (315.0, 45.0))
FIGURES = {
    "psnr_db": "PSNR dB",
    "iou": "IoU",
    "color_error_255": "color error",
    "kind_share": "sides of its kind",
    "similarity": "similarity",
}


class Verdict(Protocol):
    """What a scorer says about one object."""

    @property
    def similarity(self) -> float: ...
    @property
    def kind_hits(self) -> int: ...
    @property
    def views(self) -> int: ...


LOWER_IS_BETTER = ("color_error_255",)
INACTIVE = f"inactive, under {AT_WORK:.1%} of the pixels were clipped; no result"

Scorer = Callable[[np.ndarray, str], Verdict]
"""From pictures (view, size, size, premultiplied RGBA) and a prompt."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One prompt and seed of one row."""

    row: str
    prompt: str
    seed: int
    psnr_db: float
    iou: float
    color_error_255: float
    kind_share: float | None
    """Of the sides, those that the scorer takes for the prompt's kind."""
    similarity: float | None
    """The scorer's log-probability of all that the prompt says."""
    clipped_share: float
    seconds: float
    """Of the distillation."""


def main() -> int:
    options = parsed()
    texts = generating.read_list(options.prompts, options.list)
    for text in texts:
        if toys.named(text) is None:
            raise SystemExit(f"'{text}' names no toy whose true look is known.")
    # Row by row: the shape of a prompt is there before a second row asks for it.
    jobs = {
        (row, text, seed): job(options, row, text, seed)
        for row in options.rows
        for seed in options.seeds
        for text in texts
    }
    ended = generating.run_all(list(jobs.values()), at_once=options.jobs, minutes=options.minutes)
    if generating.unfinished(ended) or any(one.code for one in ended):
        return 1
    scorer = shipped_scorer() if options.scorer else None
    measured = [measure(*key, jobs[key].run, scorer) for key in jobs]
    summary = {row: summarize([m for m in measured if m.row == row]) for row in options.rows}
    print("\n".join(table(measured, summary)))
    document = {
        "preset": options.preset,
        "guidance": options.guidance,
        "set": options.set,
        "rows": {row: ROWS[row] for row in options.rows},
        "machine": generating.machine_of([one.run for one in jobs.values()]),
        "summary": summary,
        "measured": [asdict(m) for m in measured],
    }
    text = json.dumps(document, indent=1, default=str) + "\n"
    (options.out / "ablation.json").write_text(text, "utf-8")
    save_grid(jobs, options, texts)
    return 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Which ingredient of distillation does what.")
    parser.add_argument("out", type=Path)
    generating.add_options(parser, preset="probe", names="ablation")
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--scorer", action="store_true", help="ask the shipped scorer as well")
    return parser.parse_args()


def job(options: argparse.Namespace, row: str, text: str, seed: int) -> generating.Job:
    return generating.Job(
        prompt=text,
        run=options.out / slug(row) / generating.name_of(text, seed),
        preset=options.preset,
        seed=seed,
        settings=(*ROWS[row], *options.set),
        guidance=options.guidance,
        store=options.out / "store",
    )


def measure(row: str, prompt: str, seed: int, run: Path, scorer: Scorer | None) -> Measured:
    """Compare one run's splats with the true toy."""
    toy = toys.named(prompt)
    assert toy is not None
    made = toys.of_splats(run / "latest" / "distill" / "splats.ply")
    _, noted = tensors.load(run / "latest" / "distill" / "log.safetensors")
    found = toys.agreement(made, toys.of_toy(toy))
    said = None if scorer is None else scorer(made.rgba, prompt)
    return Measured(
        row=row,
        prompt=prompt,
        seed=seed,
        **asdict(found),
        kind_share=None if said is None else said.kind_hits / said.views,
        similarity=None if said is None else said.similarity,
        clipped_share=noted["clipped_share"],
        seconds=generating.seconds_of(run)["distill"],
    )


def shipped_scorer() -> Scorer:
    """The embedded prior's independent judge."""
    try:
        from splatworks.stages.toybox.scorer.score import score
    except ImportError:
        raise SystemExit("This version of splatworks comes without a scorer.") from None
    return score


def summarize(measured: Sequence[Measured]) -> dict[str, float]:
    """Means of a row over prompts and seeds."""
    names = [name for name in FIGURES if getattr(measured[0], name) is not None]
    return {
        name: float(np.mean([getattr(m, name) for m in measured]))
        for name in (*names, "clipped_share", "seconds")
    }


def inactive(row: str, summary: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether the row tests clipping where clipping was not at work."""
    tested = CLIPPING_TESTED.get(row)
    return tested in summary and summary[tested]["clipped_share"] < AT_WORK


def against_full(row: str, figure: str, measured: Sequence[Measured]) -> tuple[float, float]:
    """Mean difference from `full`, prompt by prompt, and its standard error."""
    full = {(m.prompt, m.seed): getattr(m, figure) for m in measured if m.row == "full"}
    found = [
        getattr(m, figure) - full[m.prompt, m.seed]
        for m in measured
        if m.row == row and (m.prompt, m.seed) in full
    ]
    if len(found) < 2:
        return (found[0] if found else math.nan), math.inf
    return float(np.mean(found)), float(np.std(found, ddof=1) / math.sqrt(len(found)))


def table(
    measured: Sequence[Measured], summary: Mapping[str, Mapping[str, float]]
) -> Iterator[str]:
    """Markdown: one line per row, the ceiling, and what may be concluded."""
    figures = [name for name in FIGURES if name in next(iter(summary.values()))]
    yield "| | " + " | ".join([FIGURES[f] for f in figures] + ["clipped", "distill s"]) + " |"
    yield "|---|" + "--:|" * (len(figures) + 2)
    for row, means in summary.items():
        idle = inactive(row, summary)
        cells = ["inactive" if idle else f"{means[name]:.3g}" for name in figures]
        cells += [f"{means['clipped_share']:.2%}", f"{means['seconds']:.0f}"]
        yield f"| {row} | " + " | ".join(cells) + " |"
    wanted = {m.prompt: toys.named(m.prompt) for m in measured}
    best = toys.mean_of([toys.ceiling(toy) for toy in wanted.values() if toy is not None])
    cells = [f"{getattr(best, name):.3g}" if hasattr(best, name) else "" for name in figures]
    yield "| *another true toy* | " + " | ".join(cells) + " | | |"
    yield ""
    for row in summary:
        if row != "full" and "full" in summary:
            idle = inactive(row, summary)
            yield f"- {row}: {INACTIVE if idle else conclusion(row, figures, measured)}."


def conclusion(row: str, figures: Sequence[str], measured: Sequence[Measured]) -> str:
    """What a row shows: differences from `full`, and which of them are not to be put down to
    chance."""
    differences, clear = [], []
    for figure in figures:
        mean, error = against_full(row, figure, measured)
        differences.append(f"{FIGURES[figure]} {mean:+.2g} ± {error:.1g}")
        if abs(mean) >= 2 * error and mean:
            better = (mean > 0) == (figure not in LOWER_IS_BETTER)
            clear.append(f"{'better' if better else 'worse'} by {FIGURES[figure]}")
    return f"{', '.join(differences)}: {', '.join(clear) or 'no more than chance'}"


def save_grid(
    jobs: Mapping[tuple[str, str, int], generating.Job],
    options: argparse.Namespace,
    texts: Sequence[str],
) -> None:
    """One line per prompt: the true toy, then each row's result of the first seed, four sides."""
    rows = []
    for text in texts:
        toy = toys.named(text)
        assert toy is not None
        found = [toys.of_toy(toy, SIDES).rgb]
        for row in options.rows:
            run = jobs[row, text, options.seeds[0]].run
            found.append(toys.of_splats(run / "latest" / "distill" / "splats.ply", SIDES).rgb)
        rows.append(Row(text, [four(rgb) for rgb in found]))
    heading = f"Preset {options.preset}: front, left, back, front-right from above"
    sheet = contact_sheet(rows, ["true toy", *options.rows], heading, "", toys.GRAY / 255)
    generating.save_sheet(sheet, options.out / "ablation.png")


def four(rgb: np.ndarray) -> np.ndarray:
    """Four pictures as one."""
    return np.concatenate([np.concatenate(rgb[:2], axis=1), np.concatenate(rgb[2:], axis=1)])


if __name__ == "__main__":
    sys.exit(main())
