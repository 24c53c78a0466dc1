"""The inner loops, compiled. Arrays in, arrays out; what they compute stands where they are called.

In a file without type annotations of shapes, since what checks those in tests cannot be compiled.
"""

import numpy as np

from ...renderers.cpu.compiled import kernel

NEAREST_M = 1e-6
"""Places nearer to a camera's plane are not seen."""


@kernel
def nearest_of(points, of, means, near, out):
    for p in range(len(points)):
        least = np.inf
        for k in range(near.shape[1]):
            g = near[of[p], k]
            away = 0.0
            for j in range(3):
                away += (points[p, j] - means[g, j]) ** 2
            if away < least:
                least = away
                out[p] = g


@kernel
def values(points, of, means, whiten, opacities, near, found, slope):
    u = np.empty(3)
    for p in range(len(points)):
        for k in range(near.shape[1]):
            g = near[of[p], k]
            square = 0.0
            for i in range(3):
                u[i] = 0.0
                for j in range(3):
                    u[i] += whiten[g, 3 * i + j] * (points[p, j] - means[g, j])
                square += u[i] * u[i]
            part = opacities[g] * np.exp(-0.5 * square)
            found[p] += part
            for j in range(3):
                for i in range(3):
                    slope[p, j] -= part * whiten[g, 3 * i + j] * u[i]


@kernel
def mean_normals(points, of, toward, means, whiten, opacities, near, normals, out):
    for p in range(len(points)):
        for k in range(near.shape[1]):
            g = near[of[p], k]
            square, facing = 0.0, 0.0
            for i in range(3):
                u = 0.0
                for j in range(3):
                    u += whiten[g, 3 * i + j] * (points[p, j] - means[g, j])
                square += u * u
                facing += normals[g, i] * toward[p, i]
            part = opacities[g] * np.exp(-0.5 * square)
            if facing > 0:
                part = -part
            for i in range(3):
                out[p, i] += part * normals[g, i]


@kernel
def along(centers, directions, reach, of, means, whiten, opacities, near, samples, level, out):
    values = np.empty(samples)
    for r in range(len(centers)):
        step = 2 * reach[r] / (samples - 1)
        values[:] = 0.0
        for k in range(near.shape[1]):
            g = near[of[r], k]
            # In the Gaussian's metric the ray is a + t b, its squared length a parabola in t.
            aa, ab, bb = 0.0, 0.0, 0.0
            for i in range(3):
                a, b = 0.0, 0.0
                for j in range(3):
                    a += whiten[g, 3 * i + j] * (centers[r, j] - means[g, j])
                    b += whiten[g, 3 * i + j] * directions[r, j]
                aa += a * a
                ab += a * b
                bb += b * b
            for s in range(samples):
                t = s * step - reach[r]
                square = aa + t * (2 * ab + t * bb)
                if square < 50.0:
                    values[s] += opacities[g] * np.exp(-0.5 * square)
        if level > 0:
            if values[0] >= level:
                continue
            for s in range(1, samples):
                if values[s] >= level:
                    share = (level - values[s - 1]) / (values[s] - values[s - 1])
                    out[r] = (s - 1 + share) * step - reach[r]
                    break
            continue
        best = 0
        for s in range(1, samples):
            if values[s] > values[best]:
                best = s
        if best == 0 or best == samples - 1:
            continue
        one = np.log(max(values[best - 1], 1e-300))
        two = np.log(max(values[best], 1e-300))
        three = np.log(max(values[best + 1], 1e-300))
        bend = one - 2 * two + three
        shift = 0.5 * (one - three) / bend if bend < -1e-12 else 0.0
        out[r] = (best + min(max(shift, -1.0), 1.0)) * step - reach[r]


@kernel
def seen_at(row, x, y, z, height, width):
    """Depth, column and row of a place in a camera's picture; depth 0 where it is not in it."""
    deep = row[6] * x + row[7] * y + row[8] * z + row[11]
    if deep <= NEAREST_M:
        return 0.0, 0.0, 0.0
    u = row[12] * (row[0] * x + row[1] * y + row[2] * z + row[9]) / deep + row[14]
    v = row[13] * (row[3] * x + row[4] * y + row[5] * z + row[10]) / deep + row[15]
    if not (u >= 0 and v >= 0 and u < width and v < height):
        return 0.0, 0.0, 0.0
    return deep, u, v


@kernel
def fuse(points, truncations, depths, starts, shapes, cameras, carve, means, counts):
    for p in range(len(points)):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        limit = truncations[p]
        total, count = 0.0, 0
        for c in range(len(cameras)):
            row = cameras[c]
            height, width = shapes[c, 0], shapes[c, 1]
            deep, u, v = seen_at(row, x, y, z, height, width)
            if deep == 0:
                continue
            start = starts[c]
            # The four pixels around; at the picture's rim, or in one a pixel wide, the same twice.
            left = min(max(int(np.floor(u - 0.5)), 0), max(width - 2, 0))
            top = min(max(int(np.floor(v - 0.5)), 0), max(height - 2, 0))
            right, below = min(left + 1, width - 1), min(top + 1, height - 1)
            a, b = depths[start + top * width + left], depths[start + top * width + right]
            d, e = depths[start + below * width + left], depths[start + below * width + right]
            low, high = min(min(a, b), min(d, e)), max(max(a, b), max(d, e))
            found = depths[start + int(v) * width + int(u)]
            if found <= 0:
                # At a silhouette a pixel too many or too few is background.
                if carve and low == 0 and high == 0:
                    total += 1.0
                    count += 1
                continue
            if low > 0 and high - low < limit:
                fx = min(max(u - 0.5 - left, 0.0), 1.0)
                fy = min(max(v - 0.5 - top, 0.0), 1.0)
                found = (a * (1 - fx) + b * fx) * (1 - fy) + (d * (1 - fx) + e * fx) * fy
            away = (found - deep) / limit
            if away < -1:
                continue
            total += min(away, 1.0)
            count += 1
        if count > 0:
            means[p] = total / count
        counts[p] = count


@kernel
def witness(points, tolerance, depths, starts, shapes, cameras, seen, through):
    for p in range(len(points)):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        for c in range(len(cameras)):
            row = cameras[c]
            height, width = shapes[c, 0], shapes[c, 1]
            deep, u, v = seen_at(row, x, y, z, height, width)
            if deep == 0:
                continue
            left = min(max(int(np.floor(u - 0.5)), 0), max(width - 2, 0))
            top = min(max(int(np.floor(v - 0.5)), 0), max(height - 2, 0))
            low, high = np.inf, 0.0
            for j in range(top, min(top + 2, height)):
                for i in range(left, min(left + 2, width)):
                    depth = depths[starts[c] + j * width + i]
                    low, high = min(low, depth), max(high, depth)
            if low <= 0:
                continue
            room = tolerance * deep
            if deep < low - room:
                through[p] += 1
            elif deep <= high + room:
                seen[p] += 1


@kernel
def splat_into(means, half, whiten, opacities, grid):
    """Each Gaussian into the voxels (z, y, x) that it reaches; places in voxels."""
    side = len(grid)
    u = np.empty(3)
    for g in range(len(means)):
        first = np.empty(3, np.int64)
        last = np.empty(3, np.int64)
        for axis in range(3):
            first[axis] = max(int(np.ceil(means[g, axis] - half[g, axis])), 0)
            last[axis] = min(int(np.floor(means[g, axis] + half[g, axis])), side - 1)
        for z in range(first[2], last[2] + 1):
            for y in range(first[1], last[1] + 1):
                for x in range(first[0], last[0] + 1):
                    square = 0.0
                    for i in range(3):
                        u[i] = (
                            whiten[g, 3 * i] * (x - means[g, 0])
                            + whiten[g, 3 * i + 1] * (y - means[g, 1])
                            + whiten[g, 3 * i + 2] * (z - means[g, 2])
                        )
                        square += u[i] * u[i]
                    if square < 9.0:
                        grid[z, y, x] += opacities[g] * np.exp(-0.5 * square)


@kernel
def mix(points, near, means, whiten, opacities, base, out):
    for p in range(len(points)):
        total = 0.0
        for k in range(near.shape[1]):
            g = near[p, k]
            square = 0.0
            for i in range(3):
                u = 0.0
                for j in range(3):
                    u += whiten[g, 3 * i + j] * (points[p, j] - means[g, j])
                square += u * u
            weight = opacities[g] * np.exp(-0.5 * square)
            if k == 0:
                weight += 1e-9
            total += weight
            for i in range(3):
                out[p, i] += weight * base[g, i]
        for i in range(3):
            out[p, i] /= total
