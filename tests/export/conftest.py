"""One made-up asset, exported to what a test asks for."""

import logging
from pathlib import Path

import pytest
from splatworks.pipeline.contract import Context
from splatworks.stages.artifacts import LodsDir, TexturedMeshFile
from splatworks.stages.export import dcc
from splatworks.stages.formats import gltf_model

from .props import prop


class Silent:
    """A progress bar that shows nothing."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def advance(self, steps: int = 1, note: str = "") -> None:
        pass


def context(out: Path) -> Context:
    out.mkdir(parents=True, exist_ok=True)
    return Context(
        out=out, scratch=out, log=logging.getLogger("test"),
        progress=lambda title, total, done=0: Silent(), seed=0, device="cpu", threads=1,
        memory_bytes=1 << 30,
    )  # fmt: skip


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """prop.glb, and a coarser level in `lods/`."""
    folder = tmp_path_factory.mktemp("prop")
    (folder / "lods").mkdir()
    gltf_model.save(prop(coarse=True, size=32), folder / "lods" / "lod0.glb")
    (folder / "lods" / "index.json").write_text('{"lods": [{"file": "lod0.glb"}]}')
    return gltf_model.save(prop(), folder / "prop.glb")


@pytest.fixture
def exported(source: Path, tmp_path: Path):
    """Runs the stage and returns its directory."""

    def run(scene: Path = source, *, lods: bool = False, **settings) -> Path:
        inputs = dcc.Inputs(
            scene=TexturedMeshFile(scene), lods=LodsDir(source.parent / "lods") if lods else None
        )
        settings = {"name": "prop"} | settings
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        return dcc.run(inputs, dcc.Config(**settings), context(out)).export.path

    return run
