"""The Triton encoding against the torch one: on a GPU where there is one, else interpreted."""

import os
import subprocess
import sys

import pytest
import torch
from splatworks.stages.encoding.encoding import SimplexHashEncoding
from splatworks.stages.encoding.settings import Settings
from splatworks.stages.randomness import generator

pytest.importorskip("triton", reason="triton is not installed; it comes with torch for CUDA")
CASES = ((2, "simplex", 2), (3, "simplex", 2), (5, "simplex", 4), (3, "cubic", 2), (3, "kuhn", 1))


@pytest.mark.parametrize(("dims", "lattice", "features"), CASES)
@pytest.mark.filterwarnings("ignore")
def test_agrees_with_torch(dims: int, lattice: str, features: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = Settings(
        dims=dims, lattice=lattice, levels=3, features=features, table_size=1 << 9, n_min=2,
        n_max=30, offset="random",
    )  # fmt: skip
    made = SimplexHashEncoding(settings).to(device)
    made.table.data = torch.randn(made.table.shape, generator=generator(1)).to(device)
    assert dims > 3 or {level.dense for level in made.levels} == {True, False}
    points = torch.rand(200, dims, generator=generator(2)).to(device).requires_grad_()
    weights = torch.randn(200, settings.width, generator=generator(3)).to(device)
    found = {}
    for backend in ("torch", "triton"):
        made.backend = backend
        values = made(points)
        slopes = torch.autograd.grad((values * weights).sum(), (points, made.table))
        found[backend] = (values, *slopes)
    tolerances = (1e-4, 1e-2, 1e-4)
    for ours, theirs, atol in zip(found["triton"], found["torch"], tolerances, strict=True):
        off = (ours - theirs).abs() > atol + 1e-4 * theirs.abs()
        # A point on a kink may have either side's gradient.
        assert off.float().mean() < 0.01, (ours - theirs).abs().max()


def test_says_what_it_cannot_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    made = SimplexHashEncoding(Settings(levels=1), backend="triton")
    with pytest.raises(ValueError, match=r"float32 on CUDA; points are torch\.float32 on cpu"):
        made(torch.rand(4, 3, generator=generator(0)))


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from splatworks.stages.encoding import triton_backend, triton_kernels
from splatworks.stages.encoding.settings import Settings

for lattice in ("simplex", "cubic"):
    names = ("dims", "padded", "cubic", "vertices", "features", "width", "BLOCK")
    values = triton_backend._constants(Settings(dims=3, lattice=lattice))
    constants = {**dict(zip(names, values, strict=True)), "levels": 16}
    kinds = {"factors": "*i32", "count": "i32", **dict.fromkeys(constants, "constexpr")}
    for name in ("forward", "to_table", "to_points"):
        kernel = getattr(triton_kernels, name)
        signature = {a: kinds.get(a, "*fp32") for a in kernel.arg_names}
        given = {k: v for k, v in constants.items() if k in kernel.arg_names}
        source = ASTSource(fn=kernel, signature=signature, constexprs=given)
        made = triton.compile(source, target=GPUTarget("cuda", 80, 32))
        assert made.asm["cubin"]
"""


def test_compiles_for_a_gpu_that_is_not_there(tmp_path) -> None:
    """What the interpreter lets pass, such as a variable that changes its type in a loop."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
