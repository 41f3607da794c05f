from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from posecli.errors import PoseError
from posecli.models.checkpoints import read_spec, save_checkpoint
from posecli.training import calibrate as module
from tests.support.stand_ins import SPEC


@pytest.mark.parametrize(("once", "twice", "chosen"), [(50, 0, True), (0, 50, False), (0, 0, False)])
def test_a_second_look_is_chosen_where_it_finds_more_joints(
    once, twice, chosen, tiny, tmp_path: Path, monkeypatch
) -> None:
    """once, twice: by how many pixels each look misses every joint. The torso has a diagonal of 50."""
    joints = SPEC.bones.joints
    points = np.zeros((1, len(joints), 2))
    points[0, joints.index("right_hip")] = points[0, joints.index("left_hip")] = [30, 40]

    class People:
        dev = np.array([True])
        keypoints, visible = points, np.ones((1, len(joints)))
        not_in_photo = np.zeros((1, len(joints)), bool)

    people = People()
    people.joints = joints

    class Store:
        def take(self, rows):
            return self

        def __len__(self):
            return 1

    store = Store()
    store.people = people

    def estimated(estimator, store):
        missed = twice if estimator.spec.second_look else once
        return np.concatenate([points + missed, np.full((1, len(joints), 1), 0.5)], axis=2)

    monkeypatch.setattr(module, "_estimated", estimated)
    monkeypatch.setattr(module, "not_in_picture", lambda people: people.not_in_photo)
    path = tmp_path / "network.safetensors"
    save_checkpoint(path, tiny.network.state_dict(), replace(SPEC, second_look=not chosen))
    module.calibrate(path, store, torch.device("cpu"))
    assert read_spec(path).second_look is chosen


def test_the_joints_of_each_source_weigh_their_share_together() -> None:
    known = np.array([[True, True], [True, False], [True, True]])
    sources = np.array(["coco", "lspet", "coco"])
    weights = module.joint_weights(known, sources, {"coco": 0.6, "lspet": 0.4})
    assert weights.tolist() == pytest.approx([0.15, 0.15, 0.4, 0.15, 0.15])
    with pytest.raises(PoseError, match="lspet"):
        module.joint_weights(known, sources, {"coco": 1.0})
