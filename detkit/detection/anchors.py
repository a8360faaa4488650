"""Anchors: the boxes that a one-stage detector's outputs are relative to. All [A, 4], normalised yxyx, not clipped."""

from __future__ import annotations

import numpy as np


def multiscale(size, levels, scale: float, aspect_ratios, scales_per_octave: int) -> np.ndarray:
    """Anchors of a feature pyramid.

    Level by level from fine to coarse, then row, column, aspect ratio, octave scale.

    Args:
        size: (height, width) of the padded model input in pixels.
        levels: pyramid levels; level l has stride 2**l.
        scale: base anchor side in strides.

    Source: `multiscale_grid_anchor_generator` of the OD API, with its rule that the first centre lies at half
    a stride only where the image size is a multiple of the stride, else at 0.
    """
    return np.concatenate([_grid(size, 2**level, scale, aspect_ratios, scales_per_octave) for level in levels])


def _grid(size, stride, scale, aspect_ratios, scales_per_octave):
    octaves = 2.0 ** (np.arange(scales_per_octave) / scales_per_octave)
    ratios = np.sqrt(np.repeat(aspect_ratios, scales_per_octave))
    sides = np.tile(octaves, len(aspect_ratios)) * scale * stride
    extent = np.stack([sides / ratios, sides * ratios], axis=1)  # [K, 2] height, width in pixels
    axes = [np.arange(-(-n // stride)) * stride + (stride / 2 if n % stride == 0 else 0) for n in size]
    return _boxes(axes, extent, size)


def _boxes(axes, extent, size):
    """Boxes [rows * columns * K, 4] of K extents [K, 2] at every crossing of the two axes, divided by `size`."""
    centres = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)[:, :, None, :]  # [rows, columns, 1, 2]
    corners = np.concatenate([centres - extent / 2, centres + extent / 2], axis=-1)
    return (corners / np.tile(np.asarray(size, np.float64), 2)).reshape(-1, 4).astype(np.float32)


def grid(cells, generator) -> np.ndarray:
    """Anchors of one map in pixels, not clipped: row by row, cell by cell, aspect ratio by aspect ratio, then scale.

    Args:
        cells: (rows, columns) of the map.
        generator: the typed `grid_anchor_generator` message.
    """
    scales = np.tile(generator.scales, len(generator.aspect_ratios))
    ratios = np.sqrt(np.repeat(generator.aspect_ratios, len(generator.scales)))
    extent = np.stack([scales / ratios * generator.height, scales * ratios * generator.width], axis=1)
    steps = ((generator.height_stride, generator.height_offset), (generator.width_stride, generator.width_offset))
    axes = [np.arange(n) * stride + offset for n, (stride, offset) in zip(cells, steps, strict=True)]
    return _boxes(axes, extent, (1.0, 1.0))


def ssd_shapes(generator) -> list:
    """[(scale, aspect ratio), ...] for every feature map, from a typed `ssd_anchor_generator` message."""
    count = generator.num_layers
    scales = list(generator.scales) or list(np.linspace(generator.min_scale, generator.max_scale, count))
    scales.append(1.0)
    shapes = []
    for layer in range(count):
        if layer == 0 and generator.reduce_boxes_in_lowest_layer:
            shapes.append([(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)])
            continue
        cell = [(scales[layer], ratio) for ratio in generator.aspect_ratios]
        if generator.interpolated_scale_aspect_ratio > 0:
            between = np.sqrt(scales[layer] * scales[layer + 1])
            cell.append((between, generator.interpolated_scale_aspect_ratio))
        shapes.append(cell)
    return shapes


def ssd(size, grids, shapes) -> np.ndarray:
    """Anchors of SSD without a pyramid.

    Args:
        size: (height, width) of the model input.
        grids: (rows, columns) of every feature map.
        shapes: of `ssd_shapes`.

    Source: `multiple_grid_anchor_generator.create_ssd_anchors` of the OD API.
    """
    unit = min(size) / np.asarray(size, np.float64)  # a scale is a share of the shorter side
    boxes = []
    for (rows, columns), cell in zip(grids, shapes, strict=True):
        scale, ratio = np.asarray(cell).T
        extent = np.stack([scale / np.sqrt(ratio), scale * np.sqrt(ratio)], axis=1) * unit
        axes = [(np.arange(n) + 0.5) / n for n in (rows, columns)]
        boxes.append(_boxes(axes, extent, (1.0, 1.0)))
    return np.concatenate(boxes)
