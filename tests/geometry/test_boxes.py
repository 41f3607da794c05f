"""Overlaps of boxes, compared with areas counted by hand."""

import numpy as np
import pytest

from posecli.geometry.boxes import areas, intersections, iou_matrix, shares_inside, suppressed

A = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 40.0]])
B = np.array([[0, 0, 10, 10], [0, 0, 20, 20.0]])


def test_overlaps_are_the_areas_counted_by_hand() -> None:
    assert areas(A) == pytest.approx([100, 100, 200])
    np.testing.assert_allclose(intersections(A, B), [[100, 100], [50, 100], [0, 0]])
    np.testing.assert_allclose(iou_matrix(A, B), [[1, 0.25], [50 / 150, 0.25], [0, 0]])
    np.testing.assert_allclose(shares_inside(A, B), [[1, 1], [0.5, 1], [0, 0]])


def test_no_boxes_have_no_overlaps() -> None:
    none = np.zeros((0, 4))
    assert iou_matrix(none, B).shape == (0, 2)
    assert shares_inside(A, none).shape == (3, 0)


def test_non_maximum_suppression_keeps_what_torchvision_keeps() -> None:
    torch, ops = pytest.importorskip("torch"), pytest.importorskip("torchvision.ops")
    rng = np.random.default_rng(0)
    for count in (0, 1, 7, 200):
        low = rng.uniform(0, 60, (count, 2))
        boxes = np.concatenate([low, low + rng.uniform(5, 60, (count, 2))], axis=1).astype(np.float32)
        scores = rng.uniform(0, 1, count).astype(np.float32).round(2)  # some are equal
        kept = suppressed(boxes, scores, 0.5)
        assert kept.tolist() == ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.5).tolist()
