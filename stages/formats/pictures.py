"""Pictures and moving pictures: float arrays in sRGB, 0 to 1, row 0 at the top.

PNG in and out; GIF, animated WebP and MP4 out. Values are clipped to the range and rounded to
8 bits on the way out, never converted between colour spaces.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from ...pipeline.contract import replacing
from ...pipeline.errors import InputError

VIDEO_FLAGS = (
    "-threads", "1", "-x264-params", "threads=1", "-crf", "18", "-preset", "medium",
    "-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1",
    "-movflags", "+faststart", "-f", "mp4",
)  # fmt: skip
"""One thread and no time stamps: the same frames give the same bytes."""


def to_bytes(picture: Float[np.ndarray, "*axes"]) -> UInt8[np.ndarray, "*axes"]:
    """Clip to 0-1 and round to 8 bits. NaN is refused, since it would turn black silently."""
    if not np.isfinite(picture).all():
        raise ValueError(
            f"picture holds {(~np.isfinite(picture)).sum()} values that are not finite."
        )
    return np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)


def load(path: Path) -> Float[np.ndarray, "height width channel"]:
    """Read a picture as float32 with 3 channels, or 4 where the file has alpha."""
    try:
        with Image.open(path) as image:
            image.load()
            alpha = "A" in image.getbands() or "transparency" in image.info
            pixels = np.asarray(image.convert("RGBA" if alpha else "RGB"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: no readable picture ({error}).") from None
    return pixels.astype(np.float32) / np.float32(255)


def save(picture: Float[np.ndarray, "height width channel"], path: Path) -> Path:
    """Write a PNG with 1, 3 or 4 channels. Returns `path`."""
    with replacing(Path(path)) as temporary:
        _image(picture).save(temporary, format="PNG", compress_level=6)
    return Path(path)


def save_animation(
    frames: Sequence[Float[np.ndarray, "height width 3"]], path: Path, fps: float = 24.0
) -> Path:
    """Write an endless GIF or animated WebP, by the ending of `path`. Returns `path`.

    A GIF counts time in hundredths of a second and has 256 colours per frame.
    """
    path = Path(path)
    _check_frames(frames, fps)
    kinds = {".gif": "GIF", ".webp": "WEBP"}
    if path.suffix.lower() not in kinds:
        raise ValueError(f"{path}: an animation ends in .gif or .webp.")
    images = [_image(frame) for frame in frames]
    options = {"duration": round(1000 / fps), "loop": 0, "save_all": True}
    if path.suffix.lower() == ".webp":
        options |= {"quality": 90, "method": 4, "minimize_size": False}
    else:
        images = [image.quantize(256, dither=Image.Dither.FLOYDSTEINBERG) for image in images]
        options |= {"disposal": 2, "optimize": False}
    with replacing(path) as temporary, temporary.open("wb") as file:
        images[0].save(file, format=kinds[path.suffix.lower()], append_images=images[1:], **options)
    return path


def save_video(
    frames: Sequence[Float[np.ndarray, "height width 3"]], path: Path, fps: float = 24.0
) -> Path:
    """Write an H.264 MP4 that every browser plays. Returns `path`.

    An odd width or height is made even by repeating the last column or row, as 4:2:0 needs.
    """
    import imageio_ffmpeg

    path = Path(path)
    _check_frames(frames, fps)
    height, width = (side + side % 2 for side in frames[0].shape[:2])
    with replacing(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary), (width, height), fps=fps, codec="libx264", macro_block_size=2,
            pix_fmt_out="yuv420p", ffmpeg_log_level="error", output_params=list(VIDEO_FLAGS),
        )  # fmt: skip
        writer.send(None)
        for frame in frames:
            odd = [(0, side % 2) for side in frame.shape[:2]]
            writer.send(np.pad(to_bytes(frame), [*odd, (0, 0)], mode="edge").tobytes())
        writer.close()
    return path


def label(
    picture: Float[np.ndarray, "height width 3"], text: str
) -> Float[np.ndarray, "height width 3"]:
    """A copy with `text` in white on a dark strip along the top edge."""
    image = _image(picture)
    size = max(10, image.height // 16)
    font = ImageFont.load_default(size)
    draw = ImageDraw.Draw(image)
    *_, right, bottom = draw.textbbox((4, 2), text, font=font)
    strip = (0, 0, min(right + 4, image.width), bottom + 3)
    image.paste(Image.blend(image.crop(strip), Image.new("RGB", strip[2:], (0, 0, 0)), 0.6), strip)
    draw.text((4, 2), text, fill=(255, 255, 255), font=font)
    return np.asarray(image).astype(np.float32) / np.float32(255)


def sheet(
    pictures: Sequence[Float[np.ndarray, "height width 3"]], columns: int, gap_px: int = 4
) -> Float[np.ndarray, "rows columns 3"]:
    """Pictures of one size side by side on white, row by row."""
    if not pictures or columns < 1:
        raise ValueError(f"a sheet needs pictures and columns, got {len(pictures)} and {columns}.")
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    shape = (rows * (height + gap_px) - gap_px, columns * (width + gap_px) - gap_px, 3)
    out = np.ones(shape, np.float32)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        top, left = row * (height + gap_px), column * (width + gap_px)
        out[top : top + height, left : left + width] = picture
    return out


def _image(picture: np.ndarray) -> Image.Image:
    if picture.ndim != 3 or picture.shape[2] not in (1, 3, 4):
        raise ValueError(f"a picture is height x width x 1, 3 or 4, got {picture.shape}.")
    pixels = to_bytes(picture)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _check_frames(frames: Sequence[np.ndarray], fps: float) -> None:
    if not frames or not fps > 0:
        raise ValueError(f"needs frames and a positive fps, got {len(frames)} and {fps}.")
    shapes = {frame.shape for frame in frames}
    if len(shapes) > 1:
        raise ValueError(f"all frames must have one size, got {sorted(shapes)}.")
