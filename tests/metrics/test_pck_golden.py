"""The metrics reproduce published numbers (shared/reference: mpii_golden, lsp_flic_golden)."""

import numpy as np
import pytest

from posecli.metrics import pck
from posecli.skeletons import LSP14, MPII16

FLIC = [
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_hip",
    "right_hip",
]


@pytest.fixture(scope="module")
def mpii(shared):
    return np.load(shared / "reference/mpii_golden/mpii_valid.npz")


@pytest.fixture(scope="module")
def lsp(shared):
    return np.load(shared / "reference/lsp_flic_golden/lsp_test.npz")


def mpii_scores(mpii, name: str, shift: float = 0.0):
    boxes = mpii["head_boxes"]
    heads = 0.6 * np.linalg.norm(boxes[:, 1] - boxes[:, 0], axis=1)
    count = pck.counted(~mpii["missing"], heads)
    right = pck.within(pck.distances(mpii[name] + shift, mpii["gt"]), heads, 0.5)
    shares = pck.groups(pck.per_joint(right, count), MPII16.joints, pck.MPII_GROUPS)
    return pck.mpii_means(right, count, MPII16.joints), shares


@pytest.mark.parametrize(
    ("name", "pooled_all", "without_trunk", "mean14", "mean16", "mean_groups"),
    [
        ("pred_hourglass", 88.96, 88.04, 87.56, 88.49, 87.45),
        ("pred_hourglass_small", 85.01, 83.93, 83.35, 84.44, 83.17),
        ("pred_tompson", None, 82.34, 81.46, None, 81.31),
    ],
)
def test_mpii_s_means(mpii, name, pooled_all, without_trunk, mean14, mean16, mean_groups) -> None:
    means, _ = mpii_scores(mpii, name)
    expected = {
        "pooled_all": pooled_all, "pooled_without_trunk": without_trunk, "mean_without_trunk": mean14,
        "mean_all": mean16, "mean_of_groups": mean_groups,
    }  # fmt: skip
    for key, value in expected.items():
        if value is not None:
            assert round(100 * means[key], 2) == value, key


def test_mpii_s_groups_and_the_one_pixel_trap(mpii) -> None:
    _, shares = mpii_scores(mpii, "pred_hourglass")
    published = {
        "head": 95.94,
        "shoulder": 94.68,
        "elbow": 88.53,
        "wrist": 83.38,
        "hip": 87.48,
        "knee": 83.09,
    }
    assert {k: round(100 * shares[k], 2) for k in published} == published
    _, shifted = mpii_scores(mpii, "pred_hourglass", shift=1.0)
    assert round(100 * shifted["head"], 2) == 95.87


@pytest.mark.parametrize(
    ("name", "labels", "torso", "mean"),
    [
        ("pred_cpm_lsp", "gt_person_centric", "lsp", 84.32),
        ("pred_cpm_mpii_lsp", "gt_person_centric", "lsp", 90.50),
        ("pred_cpm_lsp", "gt_person_centric", "other", 84.41),
        ("pred_cpm_mpii_lsp", "gt_person_centric", "other", 90.60),
        ("pred_cpm_lsp", "gt_person_centric", "diagonal", 85.51),
        ("pred_cpm_mpii_lsp", "gt_person_centric", "diagonal", 91.57),
        ("pred_cpm_lsp", "gt_observer_centric", "lsp", 69.46),
        ("pred_cpm_mpii_lsp", "gt_observer_centric", "lsp", 72.64),
    ],
)
def test_lsp_s_mean_under_each_convention(lsp, name, labels, torso, mean) -> None:
    truth = lsp[labels]
    labelled = np.ones(truth.shape[:2], bool)
    sizes = pck.torso_sizes(truth, labelled, LSP14.joints, torso)
    right = pck.within(pck.distances(lsp[name], truth), sizes, 0.2)
    groups = pck.groups(pck.per_joint(right, pck.counted(labelled, sizes)), LSP14.joints, pck.LSP_GROUPS)
    assert round(100 * float(np.mean(list(groups.values()))), 2) == mean


def test_lsp_s_seven_groups(lsp) -> None:
    truth = lsp["gt_person_centric"]
    labelled = np.ones(truth.shape[:2], bool)
    sizes = pck.torso_sizes(truth, labelled, LSP14.joints, "lsp")
    right = pck.within(pck.distances(lsp["pred_cpm_lsp"], truth), sizes, 0.2)
    groups = pck.groups(pck.per_joint(right, labelled), LSP14.joints, pck.LSP_GROUPS)
    published = [96.85, 87.10, 80.40, 75.10, 86.50, 83.15, 81.15]
    assert [round(100 * v, 2) for v in groups.values()] == published


@pytest.mark.parametrize(
    ("torso", "elbow", "wrist"), [("lsp", 97.59, 95.03), ("other", 97.49, 94.83), ("stored", 97.44, 94.83)]
)
def test_flic_s_elbow_and_wrist(shared, torso, elbow, wrist) -> None:
    data = np.load(shared / "reference/lsp_flic_golden/flic_test.npz")
    truth, found = data["gt_observer_centric"][:, :8], data["pred_cpm"][:, :8]
    labelled = np.isfinite(truth).all(axis=2)
    sizes = data["normalize"].ravel() if torso == "stored" else pck.torso_sizes(truth, labelled, FLIC, torso)
    right = pck.within(pck.distances(found, truth), sizes, 0.2)
    shares = pck.per_joint(right, pck.counted(labelled, sizes))
    pairs = {p: (f"left_{p}", f"right_{p}") for p in ("elbow", "wrist")}
    groups = pck.groups(shares, FLIC, pairs)
    assert (round(100 * groups["elbow"], 2), round(100 * groups["wrist"], 2)) == (elbow, wrist)
