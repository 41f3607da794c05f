"""Training: the loss falls, a resumed training has identical losses, and two processes give the same as one."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from posecli.data.augment import FAR, NONE, Augmentation, distort, random_crops
from posecli.data.cache import PatchStore, cut_patches
from posecli.data.people import in_skeleton
from posecli.data.read import read_people
from posecli.engines.estimator import Estimator
from posecli.errors import PoseError
from posecli.geometry.crops import cut
from posecli.models.checkpoints import IMAGENET_MEAN, IMAGENET_STD, ModelSpec, load_model, read_spec
from posecli.models.networks import NETWORKS
from posecli.skeletons import BODY19, BODY23, FLIC11, Skeleton
from posecli.training import loop
from posecli.training.batches import Batch, shown_in_an_epoch
from posecli.training.config import TrainConfig
from posecli.training.losses import flat_share, gaussian_targets, stack_losses
from posecli.training.muon import Muon, orthogonal, split
from posecli.training.recipes import paper_recipe, parse_size, parse_sizes, with_muon
from posecli.training.teacher import Lesson, Teachers

TINY = TrainConfig(
    arguments={"stacks": 2, "features": 16, "stem": [8, 16, 16]}, sizes=(((64, 64), 96),), batch=8, rate=3e-3,
    warmup=8, precision="float32", validate_every=48,
)  # fmt: skip


@pytest.fixture(scope="module")
def store(shared) -> PatchStore:
    people = in_skeleton(read_people(f"lspet:{shared}/data/raw_layouts/lspet"), BODY19)
    dev = np.zeros(len(people), bool)
    dev[:6] = True
    return cut_patches(replace(people, dev=dev), 96)


def losses(folder: Path) -> dict[int, list[float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {line["crops"]: line["loss"] for line in lines}


@pytest.mark.models
@pytest.mark.parametrize("tiny", [TINY, with_muon(TINY)], ids=["adamw", "muon"])
def test_the_loss_falls_on_a_handful_of_people(store, tmp_path, tiny) -> None:
    config = replace(tiny, sizes=(((64, 64), 640),), augmentation=NONE, validate_every=320)
    seen = []
    best = loop.train(
        config, store.take(np.arange(14)), tmp_path, device=torch.device("cpu"),
        report=lambda p: seen.append(p.loss),
    )  # fmt: skip
    assert np.mean(seen[-5:]) < 0.85 * np.mean(seen[:5])
    network, spec = load_model(best)
    assert spec.skeleton == "body19"
    assert spec.input_size == (64, 64)
    assert not network.training


DRAWN = replace(
    TINY, architecture="deeppose",
    arguments={"backbone": "resnet", "depth": 18, "stages": 2, "torso": [5, 12]}, rate=1e-3,
)  # fmt: skip


@pytest.mark.models
@pytest.mark.parametrize(
    "config", [TINY, with_muon(TINY), DRAWN], ids=["hourglass", "muon", "deeppose draws joints"]
)
def test_a_resumed_training_goes_on_to_the_identical_next_loss(store, tmp_path, config) -> None:
    device = torch.device("cpu")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    every = []
    loop.train(config, store, whole, device=device, report=lambda p: every.append((p.crops, p.loss)))
    seen = []

    class KilledError(Exception):
        pass

    def kill(progress) -> None:
        seen.append((progress.crops, progress.loss))
        if progress.crops == 56:  # after the checkpoint at 48
            raise KilledError

    with pytest.raises(KilledError):
        loop.train(config, store, broken, device=device, report=kill)
    loop.train(config, store, broken, device=device, resume=True, report=lambda _: None)
    a, b = load_model(whole / "last.safetensors")[0], load_model(broken / "last.safetensors")[0]
    for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
        assert torch.equal(x, y)
    assert losses(whole)[96] == losses(broken)[96]


@pytest.mark.parametrize("shape", [(3, 16, 40), (2, 40, 16), (1, 24, 24)])
def test_muon_s_steps_keep_directions_and_even_out_their_lengths(shape) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, before, v = torch.linalg.svd(matrices, full_matrices=False)
    turned = u.mT @ orthogonal(matrices) @ v.mT  # diagonal if the singular vectors are the same
    after = torch.diagonal(turned, dim1=1, dim2=2)
    torch.testing.assert_close(turned, torch.diag_embed(after), atol=1e-3, rtol=0)
    large = before > 0.02 * torch.linalg.matrix_norm(matrices)[:, None]
    assert large.float().mean() > 0.9
    assert float(after[large].min()) > 0.6
    assert float(after[large].max()) < 1.25


def test_muon_turns_hidden_kernels_and_leaves_the_rest_to_adamw() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 6, 3), nn.Conv2d(6, 8, 1), nn.Conv2d(8, 19, 1)
    )
    matrices, others = split(network, 19)
    assert [tuple(m.shape) for m in matrices] == [(6, 8, 3, 3), (8, 6, 1, 1)]
    assert len(matrices) + len(others) == len(list(network.parameters()))
    groups = [{"params": others, "weight_decay": 0.0}]
    muon = Muon({"params": matrices, "weight_decay": 0.0}, groups, lr=0.01)
    adamw = torch.optim.AdamW([others[-1].detach().clone().requires_grad_()], lr=0.01, weight_decay=0.0)
    twin, bias = adamw.param_groups[0]["params"][0], others[-1]
    before = matrices[0].detach().clone()
    for step in range(3):
        for p in network.parameters():
            p.grad = torch.full_like(p, 0.5 + step) + 0.1 * p.detach()
        twin.grad = bias.grad.clone()
        muon.step()
        adamw.step()
    torch.testing.assert_close(bias, twin)
    # Steps are as large as those of AdamW: a root mean square of 0.2 times the rate for a full-rank matrix.
    moved = (matrices[0].detach() - before).square().mean().sqrt() / 3
    assert 0.1 * 0.01 * 0.2 < float(moved) < 1.3 * 0.01 * 0.2


def test_unlabelled_joints_cost_nothing_and_cut_off_ones_ask_for_flat_maps() -> None:
    torch.manual_seed(0)
    maps = torch.randn(1, 1, 3, 16, 16, requires_grad=True)
    cells = torch.tensor([[[5.0, 5.0], [3.0, 9.0], [-40.0, 2.0]]])
    inside, outside = torch.tensor([[True, False, False]]), torch.tensor([[False, False, True]])
    for kind in ("cross-entropy", "mse"):
        loss = stack_losses(maps, cells, inside, outside, loss=kind, sigma=1.5, outside_weight=0.5)
        (grad,) = torch.autograd.grad(loss.sum(), maps)
        assert grad[0, 0, 1].abs().max() == 0
        assert grad[0, 0, 0].abs().max() > 0
        assert grad[0, 0, 2].abs().max() > 0
    even = torch.zeros(1, 1, 3, 16, 16)
    only_cut = stack_losses(even, cells, ~torch.ones(1, 3, dtype=bool), outside, loss="cross-entropy", sigma=1.5, outside_weight=1.0)  # fmt: skip
    assert float(only_cut) == pytest.approx(0, abs=1e-5)


def test_a_perfect_map_costs_nothing() -> None:
    cells = torch.tensor([[[5.3, 7.8]]])
    target = gaussian_targets(cells, (16, 16), 1.5)
    yes, no = torch.ones(1, 1, dtype=bool), torch.zeros(1, 1, dtype=bool)
    options = {"sigma": 1.5, "outside_weight": 0.1}
    assert float(stack_losses(target[:, None], cells, yes, no, loss="mse", **options)) == 0
    logits = target.clamp_min(1e-30).log()[:, None]
    assert abs(float(stack_losses(logits, cells, yes, no, loss="cross-entropy", **options))) < 1e-4


def test_a_teacher_is_learned_from_where_it_agrees_or_nobody_labelled_the_joint() -> None:
    """Four joints: label agrees with the teacher, label disagrees, no label, no label and a low peak."""
    cells = torch.tensor([[[20.0, 8.0], [20.0, 8.0], [0.0, 0.0], [0.0, 0.0]]])
    inside = torch.tensor([[True, True, False, False]])
    seen = gaussian_targets(
        torch.tensor([[[22.0, 8.0], [6.0, 8.0], [10.0, 12.0], [10.0, 12.0]]]), (16, 32), 2.0
    )
    heights = seen * torch.tensor([0.9, 0.9, 0.9, 0.3])[:, None, None]
    joints = ("nose", "neck", "left_knee", "left_ankle")
    rows = torch.zeros(1, 19, 16, 32)
    rows[:, [BODY19.joints.index(j) for j in joints]] = heights
    spec = replace(TINY.spec(), arguments={}, activation="none", sigma=2.0, input_size=(64, 128))
    teachers = Teachers([Estimator(lambda _: rows[:, None], spec)], TINY)
    lesson = teachers.teach(0, torch.zeros(1, 3, 64, 128))
    rows_of = [BODY19.joints.index(j) for j in joints]
    pick = Lesson(lesson.maps[:, rows_of], lesson.peaks[:, rows_of], lesson.cells[:, rows_of])
    batch = Batch(torch.zeros(1, 3, 64, 128), cells, inside, torch.zeros(1, 4, dtype=bool))
    assert pick.share(batch).tolist() == [[0.5, 0.0, 0.5, 0.0]]
    # The teacher's Gaussians get the student's sigma.
    own = gaussian_targets(torch.tensor([[[22.0, 8.0]]]), (16, 32), TINY.sigma)
    torch.testing.assert_close(pick.maps[:, :1], own / own.sum(), atol=1e-5, rtol=0)

    maps = torch.zeros(1, 1, 4, 16, 32, requires_grad=True)
    taught = (pick.maps, pick.share(batch))
    options = {"loss": "cross-entropy", "sigma": TINY.sigma, "outside_weight": 0.1}
    loss = stack_losses(maps, cells, inside, batch.outside, taught=taught, **options)
    (grad,) = torch.autograd.grad(loss.sum(), maps)
    # The cell that should rise most in each map.
    asked = [divmod(int(g.argmin()), 32)[::-1] for g in grad[0, 0]]
    assert asked[0] == (21, 8)  # between label and teacher
    assert asked[1] == (20, 8)
    assert asked[2] == (10, 12)
    assert grad[0, 0, 3].abs().max() == 0


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(0.0, (10.5, 18.5)), (-2.0, (9.5, 17.5))],  # -2 pixels of the teacher are one cell of the student
)
def test_a_teacher_sees_crops_in_its_own_size_and_its_cells_may_have_other_centres(offset, expected) -> None:
    """Crops of 128 x 192, a teacher of 64 x 96: its cell (5, 9) is cell (10.5, 18.5) of the student."""
    seen = gaussian_targets(torch.full((1, 19, 2), 5.0) + torch.tensor([0.0, 4.0]), (16, 24), 1.5)
    shapes = []

    def network(crops: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(crops.shape[2:]))
        return seen[:, None]

    spec = replace(TINY.spec(), arguments={}, activation="none", input_size=(64, 96), offset=offset)
    lesson = Teachers([Estimator(network, spec)], TINY).teach(0, torch.zeros(1, 3, 128, 192))
    assert shapes == [(64, 96)]
    assert lesson.maps.shape == (1, 19, 32, 48)
    centre = torch.stack(
        [
            (lesson.maps.sum(dim=2) * torch.arange(48)).sum(dim=2),
            (lesson.maps.sum(dim=3) * torch.arange(32)).sum(dim=2),
        ],
        dim=2,
    )
    torch.testing.assert_close(centre[0, 0], torch.tensor(expected), atol=0.05, rtol=0)


@pytest.mark.models
def test_a_teacher_says_the_same_on_every_engine(tmp_path) -> None:
    from posecli.engines.load import load_estimator
    from posecli.models.checkpoints import build, save_checkpoint

    spec = replace(TINY.spec(), arguments={**TINY.arguments, "keypoints": 19})
    save_checkpoint(tmp_path / "tiny.safetensors", build(spec).state_dict(), spec)
    crops = torch.rand(2, 3, 64, 64)
    maps = [
        Teachers([load_estimator(str(tmp_path / "tiny.safetensors"), "cpu", backend=engine)], TINY)
        .teach(0, crops)
        .maps
        for engine in ("torch", "openvino")
    ]
    torch.testing.assert_close(maps[1], maps[0], atol=1e-3, rtol=0)


def test_a_teacher_that_does_not_fit_is_refused() -> None:
    def teacher(**changes) -> Estimator:
        return Estimator(lambda x: x, replace(TINY.spec(), arguments={}, **changes))

    Teachers([teacher()], TINY)
    with pytest.raises(PoseError, match="--teacher 2 takes other crops"):
        Teachers([teacher(), teacher(crop_factor=1.5)], TINY)
    with pytest.raises(PoseError, match="cross-entropy"):
        Teachers([teacher()], replace(TINY, loss="mse"))
    with pytest.raises(PoseError, match="with heatmaps"):
        Teachers([teacher(activation="coordinates")], TINY)


def test_flat_maps_are_noticed() -> None:
    peaked = 20 * gaussian_targets(torch.tensor([[[5.0, 7.0]]]), (16, 16), 1.5)
    assert flat_share(torch.zeros(1, 1, 16, 16), "cross-entropy") == 1
    assert flat_share(peaked, "cross-entropy") == 0
    assert flat_share(torch.full((1, 1, 16, 16), 0.02), "mse") == 1
    assert flat_share(peaked / 20, "mse") == 0


def test_mirrored_crops_exchange_left_and_right(store) -> None:
    people, rows = store.people, np.arange(len(store))
    flipped = replace(NONE, mirror=1.0)
    plain = random_crops(np.random.default_rng(0), people, rows, (64, 64), 1.2, BODY19, NONE)
    mirror = random_crops(np.random.default_rng(0), people, rows, (64, 64), 1.2, BODY19, flipped)
    np.testing.assert_allclose(mirror.keypoints[:, BODY19.flip, 0], 63 - plain.keypoints[..., 0], atol=1e-6)
    assert (mirror.inside[:, BODY19.flip] == plain.inside).all()


def test_joints_that_are_in_the_photo_nowhere_are_outside_of_mirrored_crops_too(store) -> None:
    absent = np.zeros(store.people.visible.shape, bool)
    absent[:, BODY19.joints.index("left_ankle")] = True
    labels = random_crops(
        np.random.default_rng(0), store.people, np.arange(len(store)), (64, 64), 1.2, BODY19,
        replace(NONE, mirror=1.0), absent,
    )  # fmt: skip
    assert labels.outside[:, BODY19.joints.index("right_ankle")].all()
    assert not labels.outside[:, BODY19.joints.index("left_ear")].any()


def test_where_the_photo_is_made_to_end_joints_are_gone_and_the_crop_is_black(store) -> None:
    rows = np.tile(np.arange(len(store)), 30)
    labels = random_crops(
        np.random.default_rng(0), store.people, rows, (64, 64), 1.2, BODY19, replace(NONE, cut_off=1.0)
    )
    ended = (labels.parts != [0, 0, FAR, FAR]).any(axis=1)
    assert ended.mean() > 0.3
    lost = np.zeros(4)
    for i in np.flatnonzero(ended):
        x1, y1, x2, y2 = labels.parts[i]
        joints, known = store.people.keypoints[rows[i]], store.people.visible[rows[i]] > 0
        within = ((joints >= [x1 - 0.5, y1 - 0.5]) & (joints <= [x2 - 0.5, y2 - 0.5])).all(axis=1)
        assert not (labels.inside[i] & ~within).any()
        assert (labels.outside[i] | ~known)[~within].all()
        assert (labels.inside[i] & within).sum() >= 3
        lost += [x1 > 0, y1 > 0, x2 < FAR, y2 < FAR]
        crop = cut(store.patches[rows[i]], labels.affines[i], (64, 64), tuple(labels.parts[i]))
        whole = cut(store.patches[rows[i]], labels.affines[i], (64, 64))
        assert (crop == 0).all(axis=2).sum() >= (whole == 0).all(axis=2).sum()
    assert lost.argmax() == 3  # most cuts are at the bottom
    assert (lost > 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_blurred_crop_keeps_its_place(seed) -> None:
    x, y = torch.arange(192.0), torch.arange(256.0)[:, None]
    dot = torch.exp(-0.5 * ((x - 150) ** 2 + (y - 220) ** 2) / 6**2).expand(1, 3, 256, 192)
    only_blur = replace(NONE, blur=1.0)
    seen = distort(dot.clone(), torch.Generator().manual_seed(seed), only_blur)[0, 0]
    centre = float((seen * x).sum() / seen.sum()), float((seen * y).sum() / seen.sum())
    assert centre == pytest.approx((150, 220), abs=0.1)


def test_distortions_shrink_together() -> None:
    ours = Augmentation()
    assert ours.scaled(1.0) == ours
    assert ours.scaled(0.0) == replace(NONE, mirror=ours.mirror)
    half = ours.scaled(0.5)
    assert (half.rotation, half.cutout, half.mirror) == (20, 0.15, 0.5)
    assert half.zoom == pytest.approx((0.7**0.5, 1.35**0.5))


def test_random_crops_are_the_seed_s(store) -> None:
    def make(seed):
        rng = np.random.default_rng(seed)
        return random_crops(rng, store.people, np.arange(8), (64, 64), 1.2, BODY19, Augmentation()).affines

    assert (make(1) == make(1)).all()
    assert (make(1) != make(2)).any()


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 1.4), (1.0, 5.0)])
def test_everybody_is_shown_as_often_as_their_weight_says(weights) -> None:
    rng = np.random.default_rng(0)
    weight = np.repeat(weights, 100)
    expected = weight / weight.mean()
    counts = np.array([np.bincount(shown_in_an_epoch(weight, rng), minlength=200) for _ in range(200)])
    assert (counts.sum(axis=1) == 200).all()
    assert (np.abs(counts - expected) < 1).all()  # only rounded up or down
    assert counts.mean(axis=0) == pytest.approx(expected, abs=0.15)
    again = shown_in_an_epoch(weight, np.random.default_rng(1))
    assert list(again) != sorted(again)


def test_what_begins_from_weights_is_shown_other_crops(tmp_path) -> None:
    from posecli.cli.train import _seed
    from posecli.models.checkpoints import build, save_checkpoint

    spec = replace(TINY.spec(), arguments={**TINY.arguments, "keypoints": 19}, training={"seed": 4})
    save_checkpoint(tmp_path / "last.safetensors", build(spec).state_dict(), spec)
    assert _seed(None, None) == _seed(None, tmp_path / "new") == 0
    assert _seed(tmp_path / "last.safetensors", None) == 5
    assert _seed(tmp_path / "last.safetensors", tmp_path) == 4  # a resumed run keeps its seed


def test_sizes_follow_the_schedule() -> None:
    config = replace(TINY, sizes=parse_sizes("64:100,128x64:50", "hourglass"))
    assert [config.size_at(c) for c in (0, 99, 100, 149, 500)] == [(64, 64)] * 2 + [(128, 64)] * 3
    assert (config.crops, config.spec().input_size) == (150, (128, 64))
    for text in ("100:50", "64", "64:0", "64:-5", "64:x", "64x100:50", "64x:50,", "x64:50", "0:50"):
        with pytest.raises(PoseError):
            parse_sizes(text, "hourglass")
    assert parse_size("384x288", "hrnet") == (384, 288)
    assert (parse_size("440", "deeppose"), parse_size("368", "cpm")) == ((440, 440), (368, 368))
    with pytest.raises(PoseError, match="multiples of 64"):
        parse_size("384x288", "hourglass")


def paper(architecture: str, **changes: object) -> TrainConfig:
    size = NETWORKS[architecture].paper_size
    return paper_recipe(replace(TINY, architecture=architecture, sizes=((size, 210),), batch=1, **changes))


def test_the_paper_s_recipe_is_the_paper_s() -> None:
    hourglass = paper("hourglass")
    assert (hourglass.optimizer, hourglass.rate, hourglass.loss, hourglass.sigma) == (
        "rmsprop",
        2.5e-4,
        "mse",
        1.0,
    )
    assert (hourglass.augmentation.rotation, hourglass.augmentation.zoom) == (30.0, (0.75, 1.25))
    assert hourglass.spec().activation == "none"
    hrnet, simple, cpn = paper("hrnet"), paper("simple_baseline"), paper("cpn")
    for config in (hrnet, simple):
        assert (config.spec().input_size, config.crop_factor, config.sigma) == ((256, 192), 1.25, 2.0)
        assert (config.mean, config.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert (hrnet.augmentation.rotation, hrnet.augmentation.half_body) == (45.0, 0.3)
    assert hrnet.augmentation.zoom == pytest.approx((1 / 1.35, 1 / 0.65))
    assert simple.augmentation.zoom == pytest.approx((1 / 1.3, 1 / 0.7))
    assert [loop.rate_share(hrnet, c) for c in (0, 169, 170, 199, 200)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01]
    )
    assert [loop.rate_share(simple, c) for c in (134, 135, 180)] == pytest.approx([1, 0.1, 0.01])
    large = paper_recipe(replace(TINY, architecture="hrnet", sizes=(((384, 288), 1),)))
    assert large.sigma == 3.0
    assert (cpn.crop_factor, cpn.std, cpn.hard_joints) == ((1.2, 1.3), (1.0, 1.0, 1.0), 8)
    assert (cpn.spec().activation, cpn.spec().sigma) == ("byte", 1.4)
    assert [loop.rate_share(cpn, c) for c in (39, 40, 79)] == [1, 0.5, 0.25]
    assert (paper("deeppose").optimizer, paper("deeppose").spec().activation) == ("adagrad", "coordinates")
    assert (paper("cpm").spec().input_size, paper("cpm").mean) == ((368, 368), (0.5, 0.5, 0.5))


def test_more_stacks_begin_as_copies_of_the_last_and_fewer_as_the_first(store, tmp_path) -> None:
    from posecli.models.checkpoints import build, load_into, restacked, save_checkpoint

    def spec(stacks: int) -> ModelSpec:
        return replace(TINY.spec(), arguments={**TINY.arguments, "stacks": stacks, "keypoints": 19})

    def tensors(network: nn.Module) -> dict[str, torch.Tensor]:
        return {k: v for k, v in network.state_dict().items() if "num_batches" not in k}

    two, four = build(spec(2)), build(spec(4))
    load_into(four, restacked(tensors(two), four), Path("two"))
    crops = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        maps, before = four.eval()(crops), two.eval()(crops)
        assert torch.equal(maps[:, :2], before)
        for index in (2, 3):  # so its score is not worse than that of the shorter network
            torch.testing.assert_close(maps[:, index], before[:, 1])
            assert torch.equal(four.score[index].weight, two.score[1].weight)
    for parameter in four.parameters():  # a shorter network gives the output of the first stacks
        nn.init.normal_(parameter, std=0.1)
    load_into(two, restacked(tensors(four), two), Path("four"))
    with torch.inference_mode():
        assert torch.equal(two(crops), four(crops)[:, :2])
    save_checkpoint(tmp_path / "two.safetensors", two.state_dict(), spec(2))
    longer = replace(TINY, arguments={**TINY.arguments, "stacks": 3}, sizes=(((64, 64), 8),))
    (tmp_path / "run").mkdir()
    loop.train(longer, store, tmp_path / "run", device=torch.device("cpu"), init=tmp_path / "two.safetensors")
    assert load_model(tmp_path / "run" / "last.safetensors")[1].arguments["stacks"] == 3


@pytest.mark.models
def test_the_mean_with_what_it_began_from(store, tmp_path, capfd) -> None:
    from posecli.data.cache import save_pack
    from posecli.models.checkpoints import build, load_tensors, save_checkpoint
    from posecli.training.average import average
    from tests.support.command import call

    save_pack(store, tmp_path / "pack.npz")
    common = (
        "train", "--data", f"pack:{tmp_path / 'pack.npz'}", "--stacks", 1, "--features", 16, "--input-size", 64,
        "--crops", 16, "--batch", 8, "--rate", 0.01, "--precision", "float32", "--quiet",
    )  # fmt: skip
    first, second = tmp_path / "first", tmp_path / "second"
    ended, told, _ = call(capfd, *common, "--out", first)
    assert ended == 0
    begun = Path(told.strip())  # the best checkpoint, or the last one without a dev set
    ended, told, _ = call(
        capfd, *common, "--out", second, "--init", begun, "--init-share", 0.25, "--teacher", begun
    )
    assert ended == 0
    assert json.loads((second / "run.json").read_text())["teachers"] == [begun.name]
    learned, written = map(Path, told.split())
    assert written == second / "mean.safetensors"
    a, b, mean = (load_tensors(p) for p in (begun, learned, written))
    assert a.keys() == b.keys() == mean.keys()
    for name in a:
        torch.testing.assert_close(mean[name], 0.25 * a[name] + 0.75 * b[name], atol=1e-3, rtol=2e-3)
    assert any((mean[name] - b[name]).abs().max() > 1e-3 for name in b)
    network, spec = load_model(written)
    assert spec.training["init_share"] == 0.25
    dev = store.take(store.people.dev)
    assert spec.scores["dev"] == pytest.approx(
        loop.validate(network, spec, dev, torch.device("cpu")), abs=0.03
    )
    ended, _, err = call(capfd, *common, "--out", tmp_path / "third", "--init-share", 0.25)
    assert ended == 2
    assert "--init" in err
    other = replace(spec, arguments={**spec.arguments, "features": 8})
    save_checkpoint(tmp_path / "other.safetensors", build(other).state_dict(), other)
    with pytest.raises(PoseError, match="holds another network"):
        average(begun, tmp_path / "other.safetensors", 0.5, store, torch.device("cpu"))


@pytest.mark.parametrize("stem", [[8, 16, 16], "lite_hrnet"], ids=["plain", "lite_hrnet"])
def test_a_network_that_learns_feet_begins_with_the_joints_that_it_knew(tmp_path, stem) -> None:
    from posecli.models.checkpoints import build, load_into, save_checkpoint
    from posecli.training.begin import initial_tensors

    def spec(skeleton: Skeleton) -> ModelSpec:
        arguments = {**TINY.arguments, "stem": stem, "keypoints": len(skeleton.joints)}
        return replace(TINY.spec(), arguments=arguments, skeleton=skeleton.name)

    before, after, file = build(spec(BODY19)).eval(), build(spec(BODY23)).eval(), tmp_path / "19.safetensors"
    with torch.no_grad():  # as the file has them, in half precision
        for parameter in before.parameters():
            parameter.copy_(parameter.half())
    save_checkpoint(file, before.state_dict(), spec(BODY19))
    load_into(after, initial_tensors(file, after, spec(BODY23)), file)
    crops = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        old, new = before(crops), after(crops)
    torch.testing.assert_close(new[:, :, :19], old, rtol=1e-4, atol=1e-5)
    ankle, heel = (BODY23.joints.index(f"left_{part}") for part in ("ankle", "heel"))
    assert torch.equal(new[:, :, heel], new[:, :, ankle])


@pytest.mark.models
def test_a_training_goes_on_with_the_joints_and_crops_of_its_first_weights(shared, tmp_path) -> None:
    from typer.testing import CliRunner

    from posecli.cli.app import app
    from posecli.models.checkpoints import build, save_checkpoint

    spec = replace(
        TINY.spec(), arguments={"stacks": 1, "features": 16, "keypoints": 23, "feet": 4}, skeleton=BODY23.name
    )
    save_checkpoint(tmp_path / "23.safetensors", build(spec).state_dict(), spec)
    for more, skeleton, feet in (("", "body23", 4), ("--skeleton body19", "body19", None)):
        run = tmp_path / skeleton
        said = CliRunner().invoke(
            app,
            f"train --data lspet:{shared}/data/raw_layouts/lspet --init {tmp_path}/23.safetensors --stacks 1 "
            f"--crops 8 --batch 4 --out {run} -q {more}".split(),
        )
        assert said.exit_code == 0, said.output
        learned = read_spec(run / "last.safetensors")
        assert (learned.skeleton, learned.arguments.get("feet")) == (skeleton, feet)
        assert learned.input_size == spec.input_size == (64, 64)


def test_a_checkpoint_of_another_network_is_refused(store, tmp_path) -> None:
    from posecli.models.checkpoints import build, save_checkpoint

    other = {**TINY.arguments, "keypoints": 19, "features": 32}
    elbows = {**TINY.arguments, "keypoints": 11}
    (tmp_path / "run").mkdir()
    for arguments, skeleton, said in (
        (other, BODY19, "holds another network"),
        (elbows, FLIC11, "does not know left_ear"),
    ):
        spec = replace(TINY.spec(), arguments=arguments, skeleton=skeleton.name)
        save_checkpoint(tmp_path / "other.safetensors", build(spec).state_dict(), spec)
        with pytest.raises(PoseError, match=said):
            loop.train(
                TINY, store, tmp_path / "run", device=torch.device("cpu"), init=tmp_path / "other.safetensors"
            )
    with pytest.raises(PoseError, match="to resume from"):
        loop.train(TINY, store, tmp_path / "run", device=torch.device("cpu"), resume=True)
    (tmp_path / "text.safetensors").write_text("x")
    with pytest.raises(PoseError, match="not a posecli checkpoint"):
        read_spec(tmp_path / "text.safetensors")


DDP = """
import json, sys, torch
from dataclasses import replace
from pathlib import Path
from posecli.data.cache import load_pack
from posecli.training import batches, loop
from posecli.training.config import TrainConfig
from posecli.training.recipes import paper_recipe, parse_size, parse_sizes
from posecli.models.checkpoints import build

torch.set_num_threads(1)
ranks = batches.Ranks.join()
config = TrainConfig(**json.loads(sys.argv[1]))
config = replace(config, sizes=(((64, 64), 16),), augmentation=loop_none)
store = load_pack(Path(sys.argv[2]))
torch.manual_seed(0)
spec = replace(config.spec(), arguments={**config.arguments, "keypoints": 19})
network = build(spec).eval()
model = torch.nn.parallel.DistributedDataParallel(network) if ranks.world > 1 else network
batch = next(batches.batches(config, store, 0, ranks, torch.device("cpu")))
loss, _ = loop._loss(model(batch.pixels), batch, config, ranks)
loss.backward()
if ranks.rank == 0:
    torch.save([p.grad for p in network.parameters()], sys.argv[3])
""".replace("loop_none", "__import__('posecli.data.augment').data.augment.NONE")


@pytest.mark.models
def test_two_processes_gradients_equal_one_s(store, tmp_path) -> None:
    from posecli.data.cache import save_pack

    save_pack(store, tmp_path / "pack.npz")
    (tmp_path / "step.py").write_text(DDP)
    config = json.dumps({"arguments": TINY.arguments, "batch": 8, "precision": "float32"})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(world: int) -> list[torch.Tensor]:
        out = tmp_path / f"{world}.pt"
        processes = []
        for rank in range(world):
            environment = {
                **os.environ, "WORLD_SIZE": str(world), "RANK": str(rank), "LOCAL_RANK": str(rank),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "CUDA_VISIBLE_DEVICES": "",
            }  # fmt: skip
            command = [
                sys.executable,
                str(tmp_path / "step.py"),
                config,
                str(tmp_path / "pack.npz"),
                str(out),
            ]
            processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        for process in processes:
            _, error = process.communicate(timeout=120)
            assert process.returncode == 0, error
        return torch.load(out, weights_only=True)

    for one, two in zip(run(1), run(2), strict=True):
        assert torch.allclose(one, two, atol=1e-5, rtol=1e-4)
