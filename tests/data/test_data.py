"""The readers of data sets: on real files, and on tiny generated files for data sets that are not available."""

import json

import cv2
import numpy as np
import pytest
import scipy.io
import torch

from posecli.data.cache import cut_patches, load_pack, save_pack
from posecli.data.on_device import DevicePatches
from posecli.data.people import HIDDEN, UNLABELLED, VISIBLE, in_skeleton, joined, not_in_picture
from posecli.data.read import read_people
from posecli.errors import PoseError
from posecli.geometry.crops import crop_affines, cut
from posecli.skeletons import BODY19


def test_coco_s_people_crowds_and_unlabelled(shared) -> None:
    people = read_people(f"coco:{shared}/data/raw_layouts/coco")
    document = json.loads(
        (shared / "data/raw_layouts/coco/annotations/person_keypoints_val2017.json").read_text()
    )
    labelled = [a for a in document["annotations"] if a["num_keypoints"] and not a["iscrowd"]]
    assert sorted(people.ids.tolist()) == sorted(a["id"] for a in labelled)
    assert all(photo.is_file() for photo in people.photos)
    first = next(a for a in labelled if a["id"] == people.ids[0])
    assert people.keypoints[0].tolist() == [
        list(map(float, first["keypoints"][k : k + 2])) for k in range(0, 51, 3)
    ]


def test_only_coco_says_which_joints_are_not_in_the_picture(shared) -> None:
    coco = in_skeleton(read_people(f"coco:{shared}/data/raw_layouts/coco"), BODY19)
    gone = not_in_picture(coco)
    assert gone.any()
    assert not (gone & (coco.visible > 0)).any()
    assert not gone[:, [BODY19.joints.index("neck"), BODY19.joints.index("head_top")]].any()
    few = (coco.visible > 0).sum(axis=1) < 6
    assert few.any()
    assert not gone[few].any()
    lspet = in_skeleton(read_people(f"lspet:{shared}/data/raw_layouts/lspet"), BODY19)
    assert not not_in_picture(joined([coco, lspet]))[len(coco) :].any()


def test_lspet_s_third_column_means_labelled(shared) -> None:
    people = read_people(f"lspet:{shared}/data/raw_layouts/lspet")
    raw = scipy.io.loadmat(shared / "data/raw_layouts/lspet/joints.mat")["joints"]
    assert len(people) == 40
    assert ((people.visible > 0) == (raw[:, 2].T > 0.5)).all()
    labelled = people.visible > 0
    truth = raw[:, :2].transpose(2, 0, 1) - 1
    np.testing.assert_allclose(people.keypoints[labelled], truth[labelled])
    assert all(photo.is_file() for photo in people.photos)


def test_lsp_s_third_row_means_hidden(tmp_path) -> None:
    joints = np.zeros((3, 14, 2))
    joints[:2] = np.random.default_rng(0).uniform(20, 80, (2, 14, 2))
    joints[2, 3, 1] = 1
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    people = read_people(f"lsp:{tmp_path}")
    assert people.visible[1, 3] == HIDDEN
    assert (people.visible == VISIBLE).sum() == 27
    assert people.photos[1].name == "im0002.jpg"


def test_mpii_json_is_one_based(shared) -> None:
    people = read_people(f"mpii:{shared}/data/raw_layouts/mpii")
    raw = json.loads((shared / "data/raw_layouts/mpii/valid.json").read_text())
    np.testing.assert_allclose(people.keypoints[0], np.array(raw[0]["joints"]) - 1)
    sides = people.boxes[0, 2:] - people.boxes[0, :2]
    np.testing.assert_allclose(sides, 200 * raw[0]["scale"])
    assert all(photo.is_file() for photo in people.photos)


def test_mpii_mat_with_missing_fields(tmp_path) -> None:
    def struct(**fields):
        return fields

    point = [struct(x=10.0 + k, y=20.0 + k, id=k, is_visible=1) for k in (0, 5, 9)]
    whole = struct(x1=1.0, y1=1.0, x2=31.0, y2=41.0, scale=1.5, objpos=struct(x=60.0, y=70.0), annopoints=struct(point=point))  # fmt: skip
    bare = struct(annopoints=struct(point=[struct(x=5.0, y=6.0, id=8)]))
    release = struct(annolist=[
        struct(image=struct(name="a.jpg"), annorect=[whole, struct(scale=1.0)]),
        struct(image=struct(name="b.jpg"), annorect=bare),
        struct(image=struct(name="c.jpg")),
    ])  # fmt: skip
    scipy.io.savemat(tmp_path / "mpii.mat", {"RELEASE": release})
    people = read_people(f"mpii:{tmp_path / 'mpii.mat'}")
    assert [p.name for p in people.photos] == ["a.jpg", "b.jpg"]
    assert people.keypoints[0, 5].tolist() == [14.0, 24.0]
    assert people.head_sizes[0] == pytest.approx(0.6 * 50)
    assert np.isnan(people.head_sizes[1])


def test_flic_s_columns_and_nan(tmp_path) -> None:
    coords = np.full((2, 29), np.nan)
    coords[:, [0, 9, 16]] = [[11, 21, 31], [12, 22, 32]]
    example = {"filepath": "x.jpg", "coords": coords, "torsobox": np.array([10.0, 10, 50, 90])}
    scipy.io.savemat(tmp_path / "examples.mat", {"examples": [example, example]})
    people = read_people(f"flic:{tmp_path}")
    assert people.visible[0].tolist() == [2, 0, 0, 0, 0, 0, 0, 2, 0, 0, 2]
    assert people.keypoints[0, 7].tolist() == [20, 21]


@pytest.mark.parametrize("name", ["crowdpose/crowdpose_val.json", "aic/aic_val.json"])
def test_joints_of_other_names_and_orders_are_matched_by_name(shared, name) -> None:
    path = shared / "data/raw_layouts" / name
    people = read_people(f"coco:{path}")
    ours = in_skeleton(people, BODY19)
    raw = json.loads(path.read_text())
    names = [n.lower().replace(" ", "_") for n in raw["categories"][0]["keypoints"]]
    a = next(x for x in raw["annotations"] if x["id"] == people.ids[0])
    wrist = np.array(a["keypoints"]).reshape(-1, 3)[names.index("left_wrist")]
    k = BODY19.joints.index("left_wrist")
    assert (ours.visible[0, k] > 0) == (wrist[2] > 0)
    if wrist[2]:
        assert ours.keypoints[0, k].tolist() == wrist[:2].tolist()
    assert people.joints.count("head_top") == 1


def coco_file(folder, annotations, **photo):
    (folder / "images").mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "images/a.png"), np.full((100, 120, 3), 90, np.uint8))
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 120, "height": 100, **photo}],
        "annotations": [{"id": i, "image_id": 1, "category_id": 1, **a} for i, a in enumerate(annotations)],
        "categories": [{"id": 1, "name": "person", "keypoints": ["nose", "neck"]}],
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(document))
    return path


def test_bad_entries_are_counted_and_named_and_the_rest_is_used(tmp_path) -> None:
    path = coco_file(tmp_path, [
        {"keypoints": [10, 10, 2, 30, 30, 1], "bbox": [5, 5, 40, 40]},
        {"keypoints": [10, 10, 2, float("nan"), 30, 2], "bbox": [5, 5, 40, 40]},
        {"keypoints": [10, 10, 2, 900, 30, 2], "bbox": [5, 5, 40, 40]},
        {"keypoints": [10, 10, 2, 40, 50, 2], "bbox": [5, 5, 0, 40]},
        {"keypoints": [10, 10, 2], "bbox": [5, 5, 40, 40]},
    ])  # fmt: skip
    people = read_people(f"coco:{path}")
    assert people.ids.tolist() == [0, 1, 2, 3]
    assert people.visible.tolist() == [[2, 1], [2, 0], [2, 0], [2, 2]]
    told = " ".join(people.warnings)
    for words in ("not numbers", "far outside", "without size", "do not have 2 keypoints", "annotation 4"):
        assert words in told
    assert (people.boxes[3, 2:] > people.boxes[3, :2]).all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json", "can't be read as JSON"),
        ("[]", "holds no object"),
        ('{"images": [], "annotations": []}', "no list 'categories'"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "names no keypoints"),
    ],
)
def test_what_is_no_coco_file_is_one_sentence(tmp_path, text, says) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(PoseError, match=says):
        read_people(f"coco:{tmp_path / 'x.json'}")


def test_a_wrong_kind_or_path_is_one_sentence(tmp_path) -> None:
    for spec, says in [("voc:x", "KIND is one of"), ("coco", "KIND:PATH"), (f"coco:{tmp_path}/x.json", "no annotation file"), (f"lsp:{tmp_path}", "joints.mat")]:  # fmt: skip
        with pytest.raises(PoseError, match=says):
            read_people(spec)


def test_patches_keep_the_labels_where_they_are(shared) -> None:
    people = read_people(f"coco:{shared}/data/raw_layouts/coco")
    store = cut_patches(people, box_pixels=100)
    for i in range(len(store)):
        side = (store.people.boxes[i, 2:] - store.people.boxes[i, :2]).max()
        assert side <= 101
    whole = cv2.imread(str(store.people.photos[0]))
    # The pixels around a joint are similar in the photo and in the patch.
    big = cut_patches(people, box_pixels=10_000)
    for i in range(len(big)):
        for k in np.flatnonzero(big.people.visible[i] == VISIBLE)[:3]:
            x, y = np.round(big.people.keypoints[i, k]).astype(int)
            u, v = np.round(people.keypoints[i, k]).astype(int)
            photo = cv2.imread(str(people.photos[i]))
            if 0 <= v < photo.shape[0] and 0 <= u < photo.shape[1]:
                assert (big.patches[i][y, x] == photo[v, u]).all()
    assert whole is not None


def test_a_pack_gives_the_same_people_without_their_photos(shared, tmp_path) -> None:
    store = cut_patches(read_people(f"lspet:{shared}/data/raw_layouts/lspet"), 120)
    save_pack(store, tmp_path / "pack.npz", quality=95)
    back = load_pack(tmp_path / "pack.npz")
    assert back.people.joints == store.people.joints
    np.testing.assert_allclose(back.people.keypoints, store.people.keypoints, atol=1e-3)
    assert all(np.abs(a.astype(int) - b).mean() < 6 for a, b in zip(store.patches, back.patches, strict=True))
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(PoseError, match="not a pack"):
        load_pack(tmp_path / "bad.npz")


def test_unreadable_photos_are_counted_and_all_of_them_is_an_error(tmp_path) -> None:
    good = {"keypoints": [10, 10, 2, 30, 30, 2], "bbox": [5, 5, 40, 40]}
    path = coco_file(tmp_path, [good])
    people = read_people(f"coco:{path}")
    (tmp_path / "images/a.png").write_text("no picture")
    with pytest.raises(PoseError, match="None of the 1 photos"):
        cut_patches(people, 64)


def test_too_little_memory_is_said_before_with_a_number_that_fits(shared, monkeypatch) -> None:
    import psutil

    people = read_people(f"coco:{shared}/data/raw_layouts/coco")
    monkeypatch.setattr(psutil, "virtual_memory", type("M", (), {"available": 2_000_000}))
    with pytest.raises(PoseError, match="--patch-pixels"):
        cut_patches(people, 256)


def test_sets_join_only_with_the_same_joints(shared) -> None:
    a = read_people(f"lspet:{shared}/data/raw_layouts/lspet")
    b = read_people(f"coco:{shared}/data/raw_layouts/coco")
    with pytest.raises(PoseError, match="same joints"):
        joined([a, b])
    both = joined([in_skeleton(a, BODY19), in_skeleton(b, BODY19)])
    assert len(both) == len(a) + len(b)
    assert both.visible[0, BODY19.joints.index("nose")] == UNLABELLED


def test_crops_cut_on_the_device_are_opencv_s() -> None:
    rng = np.random.default_rng(3)
    patches = [cv2.GaussianBlur(rng.integers(0, 255, (40 + 9 * i, 70 - 7 * i, 3), np.uint8), (0, 0), 3) for i in range(3)]  # fmt: skip
    boxes = np.array([[5, 5, 40, 50], [-10, 3, 30, 60], [8, 20, 60, 90.0]])
    affines = crop_affines(boxes, (48, 32), 1.2, rotation=np.array([10.0, 200, -40]), mirror=np.array([True, False, False]))  # fmt: skip
    rows = np.array([2, 0, 1])
    parts = np.array([[0, 0, 9999, 9999], [0, 10, 30, 25], [20, 0, 9999, 40]])
    mine = DevicePatches(patches, torch.device("cpu")).cut(rows, affines, (48, 32), parts).numpy()
    theirs = np.stack(
        [cut(patches[r], a, (48, 32), tuple(p)) for r, a, p in zip(rows, affines, parts, strict=True)]
    )
    assert mine.shape == theirs.shape == (3, 48, 32, 3)
    gaps = np.abs(mine - theirs)
    # OpenCV interpolates in steps of 1/32 pixel. This makes a difference at the black border.
    assert np.median(gaps) < 1
    assert np.quantile(gaps, 0.99) < 6
