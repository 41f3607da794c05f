"""The other networks: published parameter counts, keys and preprocessing."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from posecli.cli.app import main
from posecli.data.augment import NONE
from posecli.data.cache import cut_patches
from posecli.data.people import in_skeleton
from posecli.data.read import read_people
from posecli.engines.estimator import Estimator
from posecli.errors import PoseError
from posecli.geometry.crops import crop_affines
from posecli.geometry.heatmaps import decode
from posecli.models.checkpoints import (
    IMAGENET_MEAN,
    ModelSpec,
    build,
    load_into,
    load_model,
    save_checkpoint,
)
from posecli.models.cpm import CPM
from posecli.models.deeppose import AlexNet, DeepPose
from posecli.models.hourglass import StackedHourglass
from posecli.models.lite_hrnet import LiteHRNet, ShuffleUnit, from_folded
from posecli.models.published import convert, load_published
from posecli.models.unshuffled import unshuffled
from posecli.skeletons import BODY19
from posecli.training import loop
from posecli.training.begin import initial_tensors
from posecli.training.config import TrainConfig
from posecli.training.losses import gaussian_targets, stack_losses
from posecli.training.recipes import RECIPES
from tests.support.places import DATA


# Networks of the papers: numbers of parameters and of state dict entries, counted with the published code.
@pytest.mark.parametrize(
    ("architecture", "arguments", "parameters", "entries"),
    [
        ("simple_baseline", {"depth": 50}, 33_999_697, 338),
        ("simple_baseline", {"depth": 50, "keypoints": 16}, 33_999_440, 338),
        ("simple_baseline", {"depth": 101}, 52_991_825, 644),
        ("simple_baseline", {"depth": 152}, 68_635_473, 950),
        ("hrnet", {"width": 32}, 28_536_113, 1754),
        ("hrnet", {"width": 48}, 63_595_745, 1754),
        ("cpn", {"depth": 50}, 27_406_826, 582),
        ("cpn", {"depth": 101}, 46_398_954, 888),
    ],
)
def test_counts_are_the_published_ones(architecture, arguments, parameters, entries) -> None:
    with torch.device("meta"):
        network = build(ModelSpec(architecture, arguments))
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert len(network.state_dict()) == entries


@pytest.mark.models
def test_cpm_has_the_layers_of_its_authors_definition() -> None:
    def conv(kernel: int, inputs: int, outputs: int) -> int:
        return kernel * kernel * inputs * outputs + outputs

    picture = conv(9, 3, 128) + 2 * conv(9, 128, 128)
    first = picture + conv(5, 128, 32) + conv(9, 32, 512) + conv(1, 512, 512) + conv(1, 512, 15)
    context = conv(11, 32 + 15 + 1, 128) + 2 * conv(11, 128, 128) + conv(1, 128, 128) + conv(1, 128, 15)
    network = CPM()
    assert sum(p.numel() for p in network.parameters()) == first + picture + 5 * (conv(5, 128, 32) + context)
    assert len(network.state_dict()) == 2 * 40
    beliefs: list[tuple[int, ...]] = []
    network.first.register_forward_hook(lambda _, __, out: beliefs.append(tuple(out.shape)))
    with torch.inference_mode():
        maps = network.eval()(torch.zeros(1, 3, 368, 368))
    assert beliefs == [(1, 15, 46, 46)]  # figure 2
    assert maps.shape == (1, 6, 14, 92, 92)


def test_a_cpm_cell_lies_where_every_network_s_does() -> None:
    """A blob in the image is found at its position, with layers that pass it on unchanged."""
    network = CPM(stages=1, keypoints=1).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.dirac_(module.weight)
            nn.init.zeros_(module.bias)
    y, x = torch.meshgrid(torch.arange(184.0), torch.arange(184.0), indexing="ij")
    for at_x, at_y in ((60.0, 100.0), (117.0, 80.0)):
        blob = torch.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * 12.0**2))
        with torch.inference_mode():
            maps = network(blob.expand(1, 3, -1, -1))[:, -1].numpy()
        found = decode(maps, "dark", 3.0)[0][0, 0]
        assert np.abs(found - (at_x, at_y)).max() < 4.0  # half a cell of the 46 x 46 maps


@pytest.mark.parametrize(
    ("architecture", "sets"),
    [("simple_baseline", 1), ("hrnet", 1), ("lite_hrnet", 1), ("cpn", 5), ("cpm", 6)],
)
def test_maps_have_a_quarter_of_the_crop_s_size(architecture, sets) -> None:
    network = build(ModelSpec(architecture, {"keypoints": 17})).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 128, 96)).shape == (1, sets, 17, 32, 24)


KEYS = {
    "simple_baseline": [
        "conv1.weight", "layer1.0.downsample.0.weight", "layer3.5.conv3.weight", "deconv_layers.0.weight",
        "deconv_layers.1.running_mean", "deconv_layers.6.weight", "deconv_layers.7.bias", "final_layer.bias",
    ],
    "hrnet": [
        "conv2.weight", "layer1.3.bn3.weight", "transition1.0.0.weight", "transition1.1.0.1.bias",
        "stage2.0.branches.1.3.conv2.weight", "stage2.0.fuse_layers.0.1.1.weight",
        "stage2.0.fuse_layers.1.0.0.0.weight", "transition2.2.0.0.weight", "stage3.3.fuse_layers.2.0.1.1.bias",
        "transition3.3.0.1.weight", "stage4.2.fuse_layers.0.3.0.weight", "final_layer.weight",
    ],
    "cpn": [
        "resnet.layer4.2.conv3.weight", "global_net.laterals.3.1.weight", "global_net.upsamples.2.1.weight",
        "global_net.upsamples.0.2.bias", "global_net.predict.0.3.weight", "global_net.predict.3.5.running_var",
        "refine_net.cascade.0.2.downsample.1.weight", "refine_net.final_predict.0.conv3.weight",
        "refine_net.final_predict.1.weight", "refine_net.final_predict.2.bias",
    ],
}  # fmt: skip


@pytest.mark.parametrize("architecture", KEYS)
def test_keys_are_the_published_ones(architecture) -> None:
    with torch.device("meta"):
        names = set(build(ModelSpec(architecture, {})).state_dict())
    assert set(KEYS[architecture]) <= names
    assert not any(name.startswith(("stage4.2.fuse_layers.1", "fc", "resnet.fc")) for name in names)


def file_of(architecture: str, prefix: str = "", **arguments: int) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {prefix + k: v for k, v in build(ModelSpec(architecture, arguments)).state_dict().items()}


def mmpose(name: str) -> str:
    own = name.startswith(("deconv_layers", "final_layer"))
    return ("head." if own else "backbone.") + name


@pytest.mark.parametrize("naming", ["official", "module", "mmpose"])
@pytest.mark.parametrize("architecture", ["simple_baseline", "hrnet"])
def test_official_and_mmpose_files_load(architecture, naming, tmp_path) -> None:
    file = file_of(architecture)
    rename = {"official": str, "module": lambda k: "module." + k, "mmpose": mmpose}[naming]
    path = tmp_path / "pose_384x288.pth"
    torch.save({"state_dict": {rename(k): v for k, v in file.items()}}, path)
    network, spec = load_published(path)
    assert (spec.architecture, spec.skeleton, spec.input_size) == (architecture, "coco17", (384, 288))
    assert (spec.mean, spec.crop_factor, spec.flip_shift) == (IMAGENET_MEAN, 1.25, 1)
    loaded = network.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in file.items() if not k.endswith("tracked"))


def test_sixteen_joints_are_mpii_s_and_other_counts_are_refused() -> None:
    converted = convert(file_of("hrnet", keypoints=16), Path("hrnet.pth"))
    assert (converted.spec.skeleton, converted.spec.input_size) == ("mpii16", (256, 256))
    with pytest.raises(PoseError, match="14 joints"):
        convert(file_of("hrnet", keypoints=14), Path("x"))


def test_cpn_s_files_load_with_their_preprocessing() -> None:
    file = file_of("cpn")
    bias = torch.randn(256)
    converted = convert({**file, "resnet.fc.weight": torch.zeros(1000, 2048)}, Path("CPN50_256x192.pth.tar"))
    assert converted.dropped == ("resnet.fc.weight",)
    spec = converted.spec
    assert spec.input_size == (256, 192)
    assert spec.crop_factor == (1.2, 1.3)
    assert [round(m * 255, 4) for m in spec.mean] == [122.7717, 115.9465, 102.9801]
    # The bias that some versions have before a batch norm only shifts its mean.
    with_bias = convert({**file, "global_net.upsamples.0.1.bias": bias}, Path("x")).tensors
    mean = "global_net.upsamples.0.2.running_mean"
    assert torch.allclose(with_bias[mean], file[mean] - bias)


class Peak(nn.Module):
    """A network that always finds joint 0 in one cell, and nothing in the mirrored crop."""

    def __init__(self, x: int, y: int) -> None:
        super().__init__()
        self.x, self.y = x, y

    def forward(self, crops: Tensor) -> Tensor:
        maps = torch.zeros(len(crops), 1, 17, crops.shape[2] // 4, crops.shape[3] // 4)
        maps[:, 0, :, self.y, self.x] = 1.0
        return maps


def test_hrnet_s_cells_are_centred_on_pixel_4c() -> None:
    spec = convert(file_of("hrnet"), Path("x")).spec
    estimator = Estimator(Peak(10, 20), spec)
    box = np.array([[0.0, 0.0, 192 / 1.25, 256 / 1.25]])  # the crop is the enlarged box, at a scale of 1
    image = np.zeros((256, 192, 3), np.uint8)
    [points] = estimator.estimate([image], [box])
    affine = crop_affines(box, (256, 192), 1.25)[0]
    np.testing.assert_allclose(points[0, 3, :2], affine @ [40, 80, 1], atol=1e-3)
    [(_, [maps])] = estimator.estimate_with_maps([image], [box])
    # Heatmaps are drawn at the joints: cell -> crop (4c + 1.5) -> frame.
    np.testing.assert_allclose(maps.affine @ [41.5, 81.5, 1], points[0, 3, :2], atol=1e-3)


def test_hrnet_s_flip_test_moves_the_mirrored_maps_by_a_column() -> None:
    spec = replace(convert(file_of("hrnet"), Path("x")).spec, flip_shift=1)
    crops = np.zeros((1, 256, 192, 3), np.uint8)
    maps = Estimator(Peak(10, 20), spec, flip_test=True).maps(crops)
    assert maps[0, 0, 0, 20, 10] == 0.5
    assert maps[0, 0, 0, 20, 47 - 10 + 1] == 0.5  # mirrored, then one to the right
    maps = Estimator(Peak(10, 20), replace(spec, flip_shift=0.5), flip_test=True).maps(crops)
    assert maps[0, 0, 0, 20, 37:39].tolist() == [0.25, 0.25]


def test_the_second_highest_cell_pulls() -> None:
    maps = np.zeros((1, 1, 64, 48), np.float32)
    maps[0, 0, 30, 20], maps[0, 0, 30, 21] = 200, 199
    found, peaks = decode(maps, "second")
    assert found[0, 0].tolist() == [4 * 20.25 + 1.5, 4 * 30 + 1.5]
    assert peaks[0, 0] == 200


def test_width_and_height_may_be_widened_apart() -> None:
    tall = crop_affines(np.array([[0, 0, 20, 100]]), (256, 192), (1.2, 1.3))
    assert tall[0, 0, 0] == pytest.approx(100 * 1.3 / 256)
    wide = crop_affines(np.array([[0, 0, 200, 100]]), (256, 192), (1.2, 1.3))
    assert wide[0, 0, 0] == pytest.approx(200 * 1.2 / 192)


def test_a_pair_of_factors_survives_a_checkpoint(tmp_path) -> None:
    spec = ModelSpec("hourglass", {"stacks": 1, "features": 8, "keypoints": 19}, crop_factor=(1.2, 1.3))
    save_checkpoint(tmp_path / "a.safetensors", build(spec).state_dict(), spec)
    assert load_model(tmp_path / "a.safetensors")[1].crop_factor == (1.2, 1.3)


def test_the_hard_joints_alone_teach_the_last_set_of_maps() -> None:
    torch.manual_seed(0)
    maps = torch.randn(3, 2, 5, 8, 8)
    cells, inside = torch.full((3, 5, 2), 3.0), torch.ones(3, 5, dtype=torch.bool)
    inside[0, 4] = False
    options = {"loss": "mse", "outside_weight": 0.0}
    every = stack_losses(maps, cells, inside, ~inside, sigma=(2.0, 1.0), **options)
    hard = stack_losses(maps, cells, inside, ~inside, sigma=(2.0, 1.0), hard_joints=2, **options)
    target = gaussian_targets(cells, (8, 8), 1.0)
    each = ((maps[:, 1] - target) ** 2).mean(dim=(2, 3)) * inside
    assert hard[0] == every[0]
    assert torch.allclose(every[1], each.sum())
    assert torch.allclose(hard[1], each.sort(dim=1).values[:, -2:].sum())
    with pytest.raises(PoseError, match="1 sigmas for 2"):
        stack_losses(maps, cells, inside, ~inside, sigma=(2.0,), **options)


@pytest.mark.models
@pytest.mark.parametrize(
    ("recipe", "architecture", "arguments"),
    [
        ("default", "simple_baseline", {}),
        ("default", "hrnet", {"width": 8}),
        ("default", "cpn", {}),
        ("default", "deeppose", {"backbone": "resnet", "depth": 18, "stages": 2, "torso": [5, 12]}),
        ("default", "cpm", {"stages": 2}),
        ("paper", "simple_baseline", {}),
        ("paper", "hrnet", {"width": 8}),
        ("paper", "cpn", {}),
        ("paper", "deeppose", {"backbone": "resnet", "depth": 18, "stages": 2, "torso": [5, 12]}),
        ("paper", "cpm", {"stages": 2}),
    ],
)
def test_the_loss_falls_on_a_handful_of_people(shared, tmp_path, recipe, architecture, arguments) -> None:
    people = in_skeleton(read_people(f"lspet:{shared}/data/raw_layouts/lspet"), BODY19).take(np.arange(4))
    store = cut_patches(replace(people, dev=np.zeros(4, bool)), 96)
    config = RECIPES[recipe](
        TrainConfig(
            architecture=architecture, arguments=arguments, sizes=(((64, 32), 64),), batch=4, rate=1e-3, warmup=4,
            ema=0.0, precision="float32",
        )
    )  # fmt: skip
    config = replace(config, augmentation=NONE)
    seen: list[float] = []
    path = loop.train(
        config, store, tmp_path, device=torch.device("cpu"), report=lambda p: seen.append(p.loss)
    )
    assert len(seen) == 16
    last = 16 * seen[15] - 15 * seen[14]  # these are means over all steps so far
    # The squared error of a nearly empty map falls slowly. The maps of CPN must first grow to 255.
    assert last < {"default": 0.9, "paper": 0.98}[recipe] * seen[0]
    spec = load_model(path)[1]
    assert (spec.architecture, spec.input_size) == (architecture, (64, 32))


def test_deeppose_s_alexnet_has_the_paper_s_maps() -> None:
    network = AlexNet(28).eval()
    x, seen = torch.zeros(1, 3, 220, 220), []
    with torch.inference_mode():
        for module in network.features:
            x = module(x)
            if isinstance(module, nn.Conv2d):
                seen.append(tuple(x.shape[1:]))
    assert seen == [(96, 55, 55), (256, 27, 27), (384, 13, 13), (384, 13, 13), (256, 13, 13)]
    norms = [m for m in network.features if isinstance(m, nn.LocalResponseNorm)]
    assert [(n.size, n.alpha, n.beta, n.k) for n in norms] == [(5, 1e-4, 0.75, 2.0)] * 2


def test_in_training_later_stages_learn_from_some_joints_of_each_person() -> None:
    network = DeepPose("resnet", depth=18, keypoints=6, stages=2, torso=(0, 2))
    seen: list[int] = []
    network.stages[1].register_forward_pre_hook(lambda _, views: seen.append(len(views[0])))
    found = network.train()(torch.rand(3, 3, 64, 64))
    assert seen == [3 * 2]
    moved = (found[:, 1] != found[:, 0]).all(dim=2)
    assert (moved.sum(dim=1) == 2).all()  # the others keep the prediction of the first stage
    found[:, 1].sum().backward()
    assert not any(p.grad.any() for p in network.stages[0].parameters())  # each stage has its own loss
    with torch.inference_mode():
        network.eval()(torch.rand(3, 3, 64, 64))
    assert seen[1:] == [3 * 6]


@pytest.mark.models
def test_the_field_s_networks_are_counted_and_timed(monkeypatch, capsys) -> None:
    from posecli.bench import compare
    from posecli.models.field import FIELD

    chosen = tuple(n for n in FIELD if n.name in ("Simple Baselines, ResNet-50", "HRNet-W32"))
    monkeypatch.setattr(compare, "FIELD", chosen)
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--field", "--json", "-", "--quiet"])
    assert not ended.value.code
    simple, hrnet = json.loads(capsys.readouterr().out)
    assert (simple["parameters"], hrnet["parameters"]) == (33_999_697, 28_536_113)
    # torchvision states 4.09 for its ResNet-50 at 224 pixels. In a transposed convolution, every input meets every
    # weight once. (The paper's 8.9 is counted differently.)
    deconvolutions = 16 * 256 * (2048 * 8 * 6 + 256 * 16 * 12 + 256 * 32 * 24) + 256 * 17 * 64 * 48
    backbone = 4.09e9 * 256 * 192 / 224**2
    assert simple["gmacs"] == pytest.approx((backbone + deconvolutions) / 1e9, rel=0.01)
    assert hrnet["gmacs"] == pytest.approx(7.1, abs=0.6)  # the paper's number, which leaves out the fusions
    assert simple["milliseconds"] > 0
    with pytest.raises(SystemExit) as ended:
        main(["compare", "small", "--field"])
    assert ended.value.code == 2


def test_a_later_stage_looks_around_each_joint_at_twice_the_detail() -> None:
    network = DeepPose("resnet", depth=18, keypoints=3, stages=2, torso=(0, 2), window=2.0).eval()
    crops = torch.zeros(1, 3, 128, 128)
    crops[0, :, 64:, :] = 1.0  # white below the middle
    seen: list[Tensor] = []

    class First(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([[0.0, -0.125, 0.25, 0.0, 0.0, 0.125]])

    class Second(nn.Module):
        def forward(self, views: Tensor) -> Tensor:
            seen.append(views)
            return torch.full((len(views), 6), 0.5)

    network.stages = nn.ModuleList([First(), Second()])
    found = network(crops)
    [views] = seen
    assert views.shape == (3, 3, 64, 64)
    # The diameter is 0.25 of the crop, the window twice that: 64 pixels of 128, one view pixel each.
    assert views[1, 0, :32].max() == 0  # joint 1 lies on the edge of the white
    assert views[1, 0, 32:].min() == 1
    assert views[0, 0, :48].max() == 0  # joint 0 lies 16 pixels above
    assert found[0, 1].tolist() == [[0.25, 0.125], [0.5, 0.25], [0.25, 0.375]]  # half a window on


def test_coordinates_are_pixels_of_the_photo_and_mirror_with_their_names(tmp_path, capsys) -> None:
    class Here(nn.Module):
        def forward(self, crops: Tensor) -> Tensor:
            points = torch.zeros(len(crops), 1, 19, 2)
            points[:, 0, BODY19.joints.index("left_wrist")] = torch.tensor([0.25, -0.25])
            return points

    spec = ModelSpec(
        "deeppose", {"stages": 1}, input_size=(128, 128), crop_factor=1.0, activation="coordinates"
    )
    box = np.array([[0.0, 0.0, 64.0, 64.0]])
    [points] = Estimator(Here(), spec).estimate([np.zeros((64, 64, 3), np.uint8)], [box])
    wrist = BODY19.joints.index("left_wrist")
    np.testing.assert_allclose(points[0, wrist], [0.75 * 64 - 0.5, 0.25 * 64 - 0.5, 1.0], atol=1e-4)
    [both] = Estimator(Here(), spec, flip_test=True).estimate([np.zeros((64, 64, 3), np.uint8)], [box])
    np.testing.assert_allclose(both[0, wrist, :2], [0.625 * 64 - 0.5, 0.375 * 64 - 0.5], atol=1e-4)
    right = BODY19.joints.index("right_wrist")
    np.testing.assert_allclose(both[0, right, :2], [0.375 * 64 - 0.5, 0.375 * 64 - 0.5], atol=1e-4)
    photo, file = tmp_path / "a.png", tmp_path / "d.safetensors"
    cv2.imwrite(str(photo), np.zeros((64, 64, 3), np.uint8))
    small = replace(
        spec, arguments={"backbone": "resnet", "depth": 18, "stages": 1, "keypoints": 19, "torso": [5, 12]}
    )
    save_checkpoint(file, build(small).state_dict(), small)
    with pytest.raises(SystemExit) as ended:
        main(["image", str(photo), "--box", "centre", "--model", str(file), "--show-heatmaps"])
    assert ended.value.code == 1
    assert "has no heatmaps to show" in " ".join(capsys.readouterr().err.split())


def wavy_crop() -> Tensor:
    """A generated image (1, 3, 256, 192)."""
    y, x = torch.meshgrid(torch.arange(256.0), torch.arange(192.0), indexing="ij")
    blob = torch.exp(-((x - 96) ** 2 / 900 + (y - 110) ** 2 / 5000))
    return torch.stack([torch.sin(x / 7 + c) * torch.cos(y / (9 + c)) + blob for c in range(3)])[None]


def test_a_lite_hrnet_answers_as_its_authors_network(shared) -> None:
    """tests/data/lite_hrnet_answer.npz has every fourth cell of the published network's output for this image."""
    folded = load_file(shared / "warmstart" / "lite_hrnet_coco_aic.safetensors")
    network = LiteHRNet(norm=False)
    network.load_state_dict(from_folded(folded))
    assert sum(p.numel() for p in network.parameters()) == 1_300_177
    with torch.inference_mode():
        maps = network.eval()(wavy_crop())[0, 0]
    stored = np.load(DATA / "lite_hrnet_answer.npz")["maps"]
    assert np.abs(maps[:, ::4, ::4].numpy() - stored).max() < 1e-4


@pytest.mark.parametrize("size", [(256, 192), (128, 160)])
def test_a_lite_hrnet_takes_any_size_that_32_divides(size) -> None:
    network = LiteHRNet(keypoints=5).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, *size)).shape == (2, 1, 5, size[0] // 4, size[1] // 4)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("size", [(64, 96), (128, 96)])
def test_a_lite_hrnet_that_moves_no_channels_gives_the_same_answer(norm, size) -> None:
    torch.manual_seed(0)
    network = LiteHRNet(5, norm)
    for module in network.modules():  # as if it had been trained
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    network.eval()
    crops = torch.randn(2, 3, *size)
    with torch.inference_mode():
        maps, same = network(crops), unshuffled(network)(crops)
    assert maps.std() > 0.01
    torch.testing.assert_close(same, maps, atol=1e-4 * float(maps.abs().max()), rtol=0)


def test_an_hourglass_with_such_a_stem_gives_the_same_answer() -> None:
    torch.manual_seed(0)
    network = StackedHourglass(stacks=2, features=16, keypoints=5, stem="lite_hrnet").eval()
    with torch.inference_mode():
        maps, new = network(wavy_crop()), unshuffled(network)
        same = new(wavy_crop())
    assert not any(isinstance(m, ShuffleUnit) for m in new.modules())
    torch.testing.assert_close(same, maps, atol=1e-4 * float(maps.abs().max()), rtol=0)


def test_networks_without_a_lite_hrnet_are_left_alone() -> None:
    network = StackedHourglass(stacks=1, features=16, keypoints=5)
    assert unshuffled(network) is network
    for shuffled in (LiteHRNet(5), StackedHourglass(stacks=1, features=16, keypoints=5, stem="lite_hrnet")):
        once = unshuffled(shuffled)
        assert unshuffled(once) is once


def test_an_hourglass_begins_with_a_trained_stem(tmp_path) -> None:
    """The stem gives the output of the Lite-HRNet, with other joints and as logits. It has a loss, as each stack has."""
    torch.manual_seed(0)
    stem = LiteHRNet(norm=False).eval()
    file = tmp_path / "stem.safetensors"
    spec = ModelSpec("lite_hrnet", {"norm": False}, "coco17", (64, 64), activation="none")
    save_checkpoint(file, stem.state_dict(), spec)
    arguments = {"stacks": 2, "features": 16, "keypoints": 19, "stem": "lite_hrnet"}
    wanted = ModelSpec("hourglass", arguments, "body19", (64, 64))
    network = build(wanted)
    load_into(network, initial_tensors(file, network, wanted), file)
    with torch.inference_mode():
        before, maps = stem(wavy_crop())[0, 0], network.eval()(wavy_crop())
    assert maps.shape == (1, 3, 19, 64, 48)
    neck, head_top = BODY19.joints.index("neck"), BODY19.joints.index("head_top")
    torch.testing.assert_close(maps[0, 0, :17], 20 * before, atol=0.02, rtol=0.02)
    torch.testing.assert_close(maps[0, 0, neck], 10 * (before[5] + before[6]), atol=0.02, rtol=0.02)
    torch.testing.assert_close(maps[0, 0, head_top], 20 * before[0], atol=0.02, rtol=0.02)
    assert Estimator(network, wanted).stack_names() == ["stem", "stack 1", "stack 2"]


@pytest.mark.parametrize(
    ("optimizer", "share"), [("adamw", 0.0), ("muon", 0.0), ("muon", 0.1), ("adamw", 0.1)]
)
def test_a_stem_learns_at_its_own_rate(optimizer, share) -> None:
    arguments = {"stacks": 1, "features": 16, "keypoints": 19, "stem": "lite_hrnet"}
    config = TrainConfig(arguments=arguments, optimizer=optimizer, stem_rate=share, rate=1e-3)
    network = build(config.spec())
    before = {name: p.clone() for name, p in network.named_parameters()}
    state = loop._State(network, config)
    state.crops = config.warmup  # at the maximum learning rate
    state.set_rate()
    state.step(network(wavy_crop()).square().mean())
    moved = {name: float((p - before[name]).detach().abs().max()) for name, p in network.named_parameters()}
    assert moved["hg.0.up.conv2.weight"] > 1e-4
    stem = max(step for name, step in moved.items() if name.startswith("stem."))
    assert stem == 0 if share == 0 else 0 < stem < 1.2e-4
