"""Splat PLYs: bit-equal round trips, seen by an independent parser, and strict reading."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from splatworks.pipeline.errors import InputError
from splatworks.stages.formats import splats

ORDER = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
TAIL = ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
FIELDS = ("means", "log_scales", "logit_opacities", "quaternions", "sh")


def random_splats(count: int, coefficients: int, seed: int = 0) -> splats.RawSplats:
    rng = np.random.default_rng(seed)
    shapes = ((count, 3), (count, 3), (count,), (count, 4), (count, coefficients, 3))
    return splats.RawSplats(*(rng.normal(size=shape).astype(np.float32) for shape in shapes))


def plain_parse(path: Path) -> tuple[list[str], list[tuple[float, ...]]]:
    """Knows nothing of ours: header lines, then `struct` row by row."""
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines = head.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    names = [line.split()[2] for line in lines if line.startswith("property float ")]
    assert len(lines) == 3 + len(names), "nothing but format, element and properties"
    rows = list(struct.iter_unpack(f"<{len(names)}f", body))
    assert lines[2] == f"element vertex {len(rows)}"
    return names, rows


def write(path: Path, names: list[str], table: np.ndarray, kinds: dict[str, str] | None = None):
    """A PLY by hand, for what `save` would never write."""
    kinds = kinds or {}
    codes = {"float": "<f4", "double": "<f8", "uchar": "u1"}
    dtype = np.dtype([(name, codes[kinds.get(name, "float")]) for name in names])
    rows = np.zeros(len(table), dtype)
    for index, name in enumerate(names):
        rows[name] = table[:, index]
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    head += [f"property {kinds.get(name, 'float')} {name}" for name in names]
    path.write_bytes(("\n".join([*head, "end_header"]) + "\n").encode() + rows.tobytes())


@pytest.mark.parametrize("coefficients", [1, 4, 9, 16])
def test_a_hundred_thousand_come_back_bit_for_bit(tmp_path: Path, coefficients: int) -> None:
    before = random_splats(100_000, coefficients)
    path = splats.save(before, tmp_path / "a.ply")
    after = splats.load(path)
    for name in FIELDS:
        np.testing.assert_array_equal(
            getattr(before, name).view(np.uint32), getattr(after, name).view(np.uint32)
        )
    assert after.sidecar == splats.Sidecar()
    assert not (tmp_path / "a.json").exists()
    first = path.read_bytes()
    splats.save(after, path)
    assert path.read_bytes() == first


@pytest.mark.parametrize("coefficients", [1, 4, 9, 16])
def test_a_plain_parser_finds_the_reference_order(tmp_path: Path, coefficients: int) -> None:
    raw = random_splats(5, coefficients)
    names, rows = plain_parse(splats.save(raw, tmp_path / "a.ply"))
    rest = 3 * (coefficients - 1)
    assert names == [*ORDER, *(f"f_rest_{index}" for index in range(rest)), *TAIL]
    row = dict(zip(names, rows[3], strict=True))
    assert [row[n] for n in "xyz"] == raw.means[3].tolist()
    assert [row[f"n{n}"] for n in "xyz"] == [0, 0, 0]
    assert [row[f"f_dc_{c}"] for c in range(3)] == raw.sh[3, 0].tolist()
    for channel in range(3):
        for k in range(1, coefficients):
            # Channel major: all of red, then all of green, then all of blue.
            assert row[f"f_rest_{channel * (coefficients - 1) + k - 1}"] == raw.sh[3, k, channel]
    assert row["opacity"] == raw.logit_opacities[3]
    assert [row[f"scale_{axis}"] for axis in range(3)] == raw.log_scales[3].tolist()
    assert [row[f"rot_{axis}"] for axis in range(4)] == raw.quaternions[3].tolist()


def test_plyfile_reads_the_same(tmp_path: Path) -> None:
    plyfile = pytest.importorskip("plyfile")
    raw = random_splats(7, 16)
    path = splats.save(raw, tmp_path / "a.ply")
    found = plyfile.PlyData.read(str(path))
    assert not found.comments
    vertex = found["vertex"]
    np.testing.assert_array_equal(vertex["f_rest_20"], raw.sh[:, 6, 1])
    np.testing.assert_array_equal(vertex["rot_0"], raw.quaternions[:, 0])


def test_order_wide_floats_and_strangers_do_not_matter(tmp_path: Path) -> None:
    raw = random_splats(6, 4)
    names, rows = plain_parse(splats.save(raw, tmp_path / "a.ply"))
    table = np.array(rows)
    order = np.random.default_rng(1).permutation(len(names))
    shuffled = [names[index] for index in order if not names[index].startswith("n")]
    keep = [index for index in order if not names[index].startswith("n")]
    table = np.concatenate([np.full((6, 1), 200.0), table[:, keep]], axis=1)
    kinds = {"red": "uchar", "x": "double", "opacity": "double"}
    write(tmp_path / "b.ply", ["red", *shuffled], table, kinds)
    after = splats.load(tmp_path / "b.ply")
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(raw, name), getattr(after, name))


def test_windows_line_ends_and_comments_are_read(tmp_path: Path) -> None:
    path = splats.save(random_splats(3, 1), tmp_path / "a.ply")
    head, _, body = path.read_bytes().partition(b"end_header\n")
    head = head.replace(b"ply\n", b"ply\ncomment Vertical Axis: z\n").replace(b"\n", b"\r\n")
    path.write_bytes(head + b"end_header\r\n" + body)
    assert len(splats.load(path)) == 3


def broken(tmp_path: Path, change) -> Path:
    path = splats.save(random_splats(10, 4), tmp_path / "bad.ply")
    path.write_bytes(change(path.read_bytes()))
    return path


HEAD = b"element vertex 10"
REFUSED = {
    "not a ply": (lambda d: b"glTF" + d, r"no PLY file"),
    "empty": (lambda d: b"", r"no PLY file"),
    "no end": (lambda d: d.replace(b"end_header", b"end_hdr"), r"no line 'end_header'"),
    "cut": (lambda d: d[:-5], r"cut short.*10 Gaussians of 104 bytes = 1040 bytes.*found 1035"),
    "padded": (lambda d: d + b"xx", r"longer than its header.*found 1042"),
    "claims much": (
        lambda d: d.replace(HEAD, b"element vertex 99999999999999"),
        r"promises 99999999999999 Gaussians",
    ),
    "negative": (lambda d: d.replace(HEAD, b"element vertex -1"), r"'-1' as an element's count"),
    "none": (lambda d: d.replace(HEAD, b"element vertex 0")[:-1040], r"holds no Gaussians"),
    "ascii": (lambda d: d.replace(b"binary_little_endian", b"ascii"), r"format is ascii.*Convert"),
    "big": (lambda d: d.replace(b"little", b"big"), r"binary_big_endian.*Convert"),
    "missing": (
        lambda d: d.replace(b" opacity", b" opac").replace(b" rot_3", b" rot_9"),
        r"lacks opacity, rot_3",
    ),
    "twice": (lambda d: d.replace(b" nx\n", b" x\n"), r"declares property x twice"),
    "type": (lambda d: d.replace(b"float nx", b"half nx"), r"unknown property type"),
    "integer": (lambda d: d.replace(b"float x", b"int x"), r"x must be float or double"),
    "gap": (lambda d: d.replace(b"f_rest_4\n", b"f_rest_44\n"), r"9 f_rest properties"),
    "list": (lambda d: d.replace(b"float nx", b"list uchar int nx"), r"list property"),
    "compressed": (
        lambda d: d.replace(HEAD, b"element chunk 1\nproperty float a\n" + HEAD),
        r"first element is 'chunk'.*[Cc]ompressed",
    ),
    "nonsense": (lambda d: d.replace(b"property float nz", b"propelty float nz"), r"no sense"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_with_its_name(tmp_path: Path, name: str) -> None:
    change, message = REFUSED[name]
    path = broken(tmp_path, change)
    with pytest.raises(InputError, match=message) as caught:
        splats.load(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("fields", [0, 3, 8, 10, 48])
def test_only_the_sh_counts_that_exist(tmp_path: Path, fields: int) -> None:
    names = [*ORDER, *(f"f_rest_{index}" for index in range(fields)), *TAIL]
    write(tmp_path / "a.ply", names, np.ones((2, len(names))))
    if fields == 0:
        assert splats.load(tmp_path / "a.ply").sh.shape == (2, 1, 3)
    else:
        with pytest.raises(InputError, match=f"{fields} f_rest properties"):
            splats.load(tmp_path / "a.ply")


def test_every_bad_value_is_counted_and_found(tmp_path: Path) -> None:
    names = [*ORDER, *TAIL]
    table = np.ones((9, len(names)))
    table[[4, 7], names.index("y")] = np.nan
    table[2:, names.index("scale_1")] = -np.inf
    table[5:, -4:] = 0
    write(tmp_path / "a.ply", names, table)
    with pytest.raises(InputError) as caught:
        splats.load(tmp_path / "a.ply")
    message = str(caught.value)
    assert "y holds 2 NaN and 0 infinite values (first in Gaussian 4)" in message
    assert "scale_1 holds 0 NaN and 7 infinite values (first in Gaussian 2)" in message
    assert "rot_0..3 holds 4 zero quaternions (first in Gaussian 5)" in message
    good = table[:2]
    write(tmp_path / "b.ply", names, good)
    assert len(splats.load(tmp_path / "b.ply")) == 2


def test_a_double_too_large_for_float32_is_found(tmp_path: Path) -> None:
    names = [*ORDER, *TAIL]
    table = np.ones((3, len(names)))
    table[1, 0] = 1e300
    write(tmp_path / "a.ply", names, table, {"x": "double"})
    with pytest.raises(InputError, match="x holds 0 NaN and 1 infinite"):
        splats.load(tmp_path / "a.ply")


def test_nothing_unsound_is_written(tmp_path: Path) -> None:
    raw = random_splats(4, 4)
    raw.log_scales[2, 1] = np.nan
    with pytest.raises(ValueError, match="scale_1 holds 1 NaN"):
        splats.save(raw, tmp_path / "a.ply")
    assert not list(tmp_path.iterdir())


def test_the_sidecar_comes_back(tmp_path: Path) -> None:
    turned = (0.0, -1.0, 0.0, 0.5, *splats.IDENTITY[4:])
    sidecar = splats.Sidecar(
        antialiased=True, up_axis="-z", meters_per_unit=0.01, source_transform=turned
    )
    raw = random_splats(2, 1)
    raw = splats.RawSplats(*(getattr(raw, name) for name in FIELDS), sidecar)
    splats.save(raw, tmp_path / "a.ply")
    assert splats.load(tmp_path / "a.ply").sidecar == sidecar
    splats.save(random_splats(2, 1), tmp_path / "a.ply")
    assert splats.load(tmp_path / "a.ply").sidecar == splats.Sidecar(), "no stale sidecar"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "else"}, "stands where the sidecar"),
        ({"kind": splats.SIDECAR_KIND, "up": "y"}, "unknown entry 'up'"),
        ({"kind": splats.SIDECAR_KIND, "up_axis": "y"}, "up_axis must be one of"),
        ({"kind": splats.SIDECAR_KIND, "meters_per_unit": 0}, "must be positive"),
        ({"kind": splats.SIDECAR_KIND, "source_transform": [1, 2]}, "16 finite numbers"),
        ({"kind": splats.SIDECAR_KIND, "antialiased": 1}, "true or false"),
    ],
)
def test_a_bad_sidecar_is_refused(tmp_path: Path, values: dict, message: str) -> None:
    path = splats.save(random_splats(2, 1), tmp_path / "a.ply")
    (tmp_path / "a.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=message):
        splats.load(path)


def test_a_foreign_json_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"mine": 1}')
    with pytest.raises(InputError, match="stands where the sidecar"):
        splats.save(random_splats(2, 1), tmp_path / "a.ply")
    assert (tmp_path / "a.json").read_text() == '{"mine": 1}'
    assert not (tmp_path / "a.ply").exists()
