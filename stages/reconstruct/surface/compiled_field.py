"""`field.py` on a CPU: one pass over samples and neighbors, and one for the gradient.

Nothing is kept per pair between the two: a pair costs less to compute again than to store. One
thread, in the order of the samples, so the bits never depend on how many there are.
"""

import math

import numpy as np
import torch
from torch import Tensor

from ....renderers.cpu.compiled import kernel
from .field import LEAST_WEIGHT, Cloud, Field
from .samples import Samples


def field(samples: Samples, table: Tensor, cloud: Cloud) -> Field:
    """As `field.field`, for float32 on the CPU."""
    own = samples.own.int().numpy()
    density, direction = _Field.apply(
        cloud.means, cloud.axes, cloud.scales, cloud.opacities, cloud.normals,
        samples.places.numpy(), own, table.numpy(),
    )  # fmt: skip
    return Field(density, direction)


class _Field(torch.autograd.Function):
    @staticmethod
    def forward(ctx, means, axes, scales, opacities, normals, places, own, table):
        held = [t.detach().contiguous() for t in (means, axes, scales, opacities, normals)]
        ctx.save_for_backward(*held)
        ctx.samples = places, own, table
        density = np.empty(len(places), np.float32)
        direction = np.empty((len(places), 3), np.float32)
        _forward(places, own, table, *(t.numpy() for t in held), LEAST_WEIGHT, density, direction)
        return torch.from_numpy(density), torch.from_numpy(direction)

    @staticmethod
    def backward(ctx, g_density, g_direction):
        held = ctx.saved_tensors
        out = [torch.zeros_like(t) for t in held]
        _backward(
            *ctx.samples, *(t.numpy() for t in held), LEAST_WEIGHT,
            g_density.contiguous().numpy(), g_direction.contiguous().numpy(),
            *(t.numpy() for t in out),
        )  # fmt: skip
        return (*out, None, None, None)


@kernel
def _forward(
    places, own, table, means, axes, scales, opacities, normals, least, density, direction
):
    count = table.shape[1]
    for m in range(len(places)):
        g = own[m]
        total = weight_sum = vx = vy = vz = np.float32(0)
        for k in range(count):
            i = table[g, k]
            x = places[m, 0] - means[i, 0]
            y = places[m, 1] - means[i, 1]
            z = places[m, 2] - means[i, 2]
            square = np.float32(0)
            for c in range(3):
                u = (x * axes[i, 0, c] + y * axes[i, 1, c] + z * axes[i, 2, c]) / scales[i, c]
                square += u * u
            part = opacities[i] * math.exp(np.float32(-0.5) * square)
            total += part
            nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
            least_scale = min(scales[i, 0], scales[i, 1], scales[i, 2])
            w = part * abs(x * nx + y * ny + z * nz) / (least_scale * least_scale)
            weight_sum += w
            if nx * normals[g, 0] + ny * normals[g, 1] + nz * normals[g, 2] < 0:
                w = -w
            vx += w * nx
            vy += w * ny
            vz += w * nz
        density[m] = total
        scale = 1 / weight_sum if weight_sum > least else np.float32(0)
        direction[m, 0], direction[m, 1], direction[m, 2] = vx * scale, vy * scale, vz * scale


@kernel
def _backward(
    places, own, table, means, axes, scales, opacities, normals, least,
    g_density, g_direction, g_means, g_axes, g_scales, g_opacities, g_normals,
):  # fmt: skip
    count = table.shape[1]
    weights = np.empty(count, np.float32)
    for m in range(len(places)):
        g = own[m]
        gd = g_density[m]
        weight_sum = np.float32(0)
        for k in range(count):
            i = table[g, k]
            x = places[m, 0] - means[i, 0]
            y = places[m, 1] - means[i, 1]
            z = places[m, 2] - means[i, 2]
            u0 = (x * axes[i, 0, 0] + y * axes[i, 1, 0] + z * axes[i, 2, 0]) / scales[i, 0]
            u1 = (x * axes[i, 0, 1] + y * axes[i, 1, 1] + z * axes[i, 2, 1]) / scales[i, 1]
            u2 = (x * axes[i, 0, 2] + y * axes[i, 1, 2] + z * axes[i, 2, 2]) / scales[i, 2]
            fall = math.exp(np.float32(-0.5) * (u0 * u0 + u1 * u1 + u2 * u2))
            part = opacities[i] * fall
            nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
            least_scale = min(scales[i, 0], scales[i, 1], scales[i, 2])
            w = part * abs(x * nx + y * ny + z * nz) / (least_scale * least_scale)
            weight_sum += w
            if nx * normals[g, 0] + ny * normals[g, 1] + nz * normals[g, 2] < 0:
                w = -w
            weights[k] = w
            g_opacities[i] += gd * fall
            # The slope of the part by each of the three u is -part u.
            slope = -gd * part
            for c in range(3):
                u = u0 if c == 0 else (u1 if c == 1 else u2)
                q = slope * u / scales[i, c]
                g_scales[i, c] -= q * u
                g_axes[i, 0, c] += q * x
                g_axes[i, 1, c] += q * y
                g_axes[i, 2, c] += q * z
                g_means[i, 0] -= q * axes[i, 0, c]
                g_means[i, 1] -= q * axes[i, 1, c]
                g_means[i, 2] -= q * axes[i, 2, c]
        if weight_sum > least:
            for k in range(count):
                i = table[g, k]
                w = weights[k] / weight_sum
                g_normals[i, 0] += w * g_direction[m, 0]
                g_normals[i, 1] += w * g_direction[m, 1]
                g_normals[i, 2] += w * g_direction[m, 2]
