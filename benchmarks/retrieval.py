"""Of which kind is it? Finished meshes, each of eight sides asked by itself among all kinds.

    python benchmarks/gallery.py OUT --list scoring
    python benchmarks/retrieval.py OUT --list scoring [--scorer truth]

For each run of the list, every side of the exported mesh is scored under one prompt per kind: the
run's own, and for every other kind the same words with that kind's name (without the part's color,
which other kinds do not have). A side is found if its own prompt scores best. The ceiling is the
same for pictures of true toys of those prompts. Prints a table, writes OUT/retrieval.json.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import generating
import numpy as np
import toys
from scorers import Scorer, best_of, scorer_named
from splatworks.stages.toybox import captions, catalog


@dataclass(frozen=True, slots=True)
class Found:
    """One object's sides."""

    prompt: str
    seed: int
    unseen: bool
    found_share: float
    """Of its sides, those whose own prompt scored best."""
    taken_for: list[str]
    """The kind each side was taken for."""
    ceiling_share: float
    """The same of the true toy, of other proportions than the scorer may know."""
    failed: bool


def main() -> int:
    parser = argparse.ArgumentParser(description="Of which kind are the sides of finished meshes?")
    parser.add_argument("out", type=Path)
    generating.add_options(parser, preset="draft", names="scoring")
    parser.add_argument("--scorer", default="truth", help="see scorers.py")
    options = parser.parse_args()
    scorer = scorer_named(options.scorer)
    texts = generating.read_list(options.prompts, options.list)
    found = [
        judge(text, seed, options.out / generating.name_of(text, seed), scorer)
        for text in texts
        for seed in options.seeds
    ]
    whole, ceiling = (
        float(np.mean([getattr(one, name) for one in found]))
        for name in ("found_share", "ceiling_share")
    )
    for one in found:
        wrong = sorted({kind for kind in one.taken_for if kind not in one.prompt})
        said = "no mesh" if one.failed else ", ".join(wrong)
        mark = "unseen" if one.unseen else ""
        print(f"{one.found_share:5.0%} {one.ceiling_share:5.0%}  {one.prompt}  {mark}  {said}")
    print(
        f"{whole:5.1%} of the sides, ceiling {ceiling:.1%}: {whole / max(ceiling, 1e-9):.1%} of it"
    )
    document = {
        "scorer": options.scorer,
        "kinds": len(catalog.KINDS),
        "found_share": whole,
        "ceiling_share": ceiling,
        "objects": [asdict(one) for one in found],
    }
    (options.out / "retrieval.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return 0


def judge(text: str, seed: int, run: Path, scorer: Scorer) -> Found:
    """One run; without a mesh none of its sides is found."""
    toy = toys.named(text)
    if toy is None:
        raise SystemExit(f"'{text}' names no toy whose true look is known.")
    prompts = alternatives(toy)
    asset = run / "latest" / "export" / "asset.glb"
    true = toys.of_toy(replace(toy, shape_seed=toys.OTHER_SEEDS[0])).rgb
    best_true, _ = best_of(scorer, true, list(prompts))
    best = best_of(scorer, toys.of_mesh(asset).rgb, list(prompts))[0] if asset.is_file() else []
    kinds = list(prompts.values())
    return Found(
        prompt=text,
        seed=seed,
        unseen=toys.unseen(toy),
        found_share=sum(kinds[k] == toy.kind for k in best) / len(toys.VIEWS),
        taken_for=[kinds[k] for k in best],
        ceiling_share=sum(kinds[k] == toy.kind for k in best_true) / len(toys.VIEWS),
        failed=not asset.is_file(),
    )


def alternatives(toy: toys.Prop) -> dict[str, str]:
    """A prompt for every kind, and that kind: the toy's own words, with another name."""
    found = {captions.describe(toy): toy.kind}
    for kind in catalog.KINDS:
        if kind != toy.kind:
            found[captions.describe(replace(toy, kind=kind, part_color=""))] = kind
    return found


if __name__ == "__main__":
    sys.exit(main())
