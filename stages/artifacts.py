"""The kinds of files that stages exchange. Handles only; reading and writing: `formats/`."""

from dataclasses import dataclass
from pathlib import Path

from ..pipeline.contract import Artifact


@dataclass(frozen=True, slots=True)
class PromptFile(Artifact):
    """JSON: `text` and `negative`."""

    kind = "prompt/1"


@dataclass(frozen=True, slots=True)
class GuidanceDir(Artifact):
    """A diffusion pipeline in diffusers' directory layout, optionally with `view_words.json`."""

    kind = "guidance/1"


@dataclass(frozen=True, slots=True)
class SplatsFile(Artifact):
    """Binary little-endian PLY with the reference 3DGS fields, raw values; may have a sidecar
    `NAME.json` beside it."""

    kind = "splats/1"

    @classmethod
    def companions(cls, path: Path) -> tuple[Path, ...]:
        return (path.with_suffix(".json"),)


@dataclass(frozen=True, slots=True)
class CameraFile(Artifact):
    """JSON camera path, nerfstudio compatible, OpenGL camera-to-world."""

    kind = "camera/1"


@dataclass(frozen=True, slots=True)
class ImagesDir(Artifact):
    """PNGs and `cameras.json`."""

    kind = "images/1"


@dataclass(frozen=True, slots=True)
class MeshFile(Artifact):
    """GLB without textures: +Y up, metres, counter-clockwise."""

    kind = "mesh/1"


@dataclass(frozen=True, slots=True)
class TexturedMeshFile(Artifact):
    """GLB with embedded PNG textures: +Y up, metres, counter-clockwise."""

    kind = "textured-mesh/1"


@dataclass(frozen=True, slots=True)
class LodsDir(Artifact):
    """`index.json` and one GLB per level of detail, finest first."""

    kind = "lods/1"


@dataclass(frozen=True, slots=True)
class ExportDir(Artifact):
    """`index.json` and the files a DCC tool opens."""

    kind = "export/1"


@dataclass(frozen=True, slots=True)
class PreviewDir(Artifact):
    """`index.json`, a contact sheet and turntables, for looking."""

    kind = "preview/1"


@dataclass(frozen=True, slots=True)
class PictureFile(Artifact):
    """One PNG, for looking."""

    kind = "picture/1"


@dataclass(frozen=True, slots=True)
class TensorsFile(Artifact):
    """safetensors."""

    kind = "tensors/1"


@dataclass(frozen=True, slots=True)
class RegionFile(Artifact):
    """JSON: a selection of Gaussians as a list of shapes."""

    kind = "region/1"


@dataclass(frozen=True, slots=True)
class SequenceDir(Artifact):
    """`index.json` with times, and one splat PLY per frame."""

    kind = "sequence/1"


@dataclass(frozen=True, slots=True)
class PairsFile(Artifact):
    """CSV: pixel pairs between a scene's own picture and the edited one."""

    kind = "correspondence/1"


@dataclass(frozen=True, slots=True)
class EditsFile(Artifact):
    """JSON: an edit script, one operation a line."""

    kind = "edits/1"


@dataclass(frozen=True, slots=True)
class ScenesDir(Artifact):
    """`index.json` and one splat PLY per scene, perhaps with a sidecar."""

    kind = "scenes/1"


@dataclass(frozen=True, slots=True)
class CaptureDir(Artifact):
    """Posed photographs: a nerfstudio, Blender-synthetic or COLMAP folder."""

    kind = "capture/1"


@dataclass(frozen=True, slots=True)
class ExposuresFile(Artifact):
    """JSON: a gain and an offset per photograph of a capture and channel."""

    kind = "exposures/1"


@dataclass(frozen=True, slots=True)
class DataparserFile(Artifact):
    """JSON: nerfstudio's `dataparser_transforms.json`, beside a run's `config.yml`."""

    kind = "dataparser/1"


@dataclass(frozen=True, slots=True)
class TransformsFile(Artifact):
    """JSON: a nerfstudio capture's `transforms.json`, without its photographs. Where it lacks an
    entry, nerfstudio looks whether COLMAP's model lies beside it."""

    kind = "transforms/1"

    @classmethod
    def companions(cls, path: Path) -> tuple[Path, ...]:
        return (path.parent / "colmap" / "sparse" / "0" / "cameras.bin",)


@dataclass(frozen=True, slots=True)
class PhotosDir(Artifact):
    """Photographs without cameras: in `images/`, else in the folder itself."""

    kind = "photos/1"


@dataclass(frozen=True, slots=True)
class PhotoFile(Artifact):
    """One picture as it comes: JPEG, PNG, WebP and the like."""

    kind = "photo/1"


@dataclass(frozen=True, slots=True)
class FieldFile(Artifact):
    """safetensors: the parameters of a field, its settings in the header."""

    kind = "field/1"


@dataclass(frozen=True, slots=True)
class ReportFile(Artifact):
    """JSON: figures about a result, for reading."""

    kind = "report/1"


@dataclass(frozen=True, slots=True)
class BindingFile(Artifact):
    """safetensors: Gaussians on the triangles of a mesh, and that mesh at rest."""

    kind = "binding/1"
