"""Published checkpoints: generated with the published key names and shapes, then converted."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from posecli.errors import PoseError
from posecli.models.checkpoints import build
from posecli.models.published import BEARPAW_MEAN, convert, load_published, read_tensors
from tests.support.published import conv, norm, princeton_file


def bearpaw_residual(name: str, i: int, o: int) -> dict[str, Tensor]:
    tensors = {
        **norm(f"{name}.bn1", i), **conv(f"{name}.conv1", i, o // 2),
        **norm(f"{name}.bn2", o // 2), **conv(f"{name}.conv2", o // 2, o // 2, 3),
        **norm(f"{name}.bn3", o // 2), **conv(f"{name}.conv3", o // 2, o),
    }  # fmt: skip
    return tensors | (conv(f"{name}.downsample.0", i, o) if i != o else {})


def bearpaw_file(stacks: int, f: int = 256, k: int = 16) -> dict[str, Tensor]:
    tensors = {**conv("conv1", 3, 64, 7), **norm("bn1", 64)}
    for n, (i, o) in {1: (64, 128), 2: (128, 256), 3: (256, 256)}.items():
        tensors |= bearpaw_residual(f"layer{n}.0", i, o)
    for s in range(stacks):
        for level in range(4):
            for position in range(4 if level == 0 else 3):
                tensors |= bearpaw_residual(f"hg.{s}.hg.{level}.{position}.0", f, f)
        tensors |= bearpaw_residual(f"res.{s}.0", f, f)
        tensors |= {**conv(f"fc.{s}.0", f, f), **norm(f"fc.{s}.1", f), **conv(f"score.{s}", f, k)}
        if s < stacks - 1:
            tensors |= {**conv(f"fc_.{s}", f, f), **conv(f"score_.{s}", k, f)}
    return tensors


def residual(t: dict[str, Tensor], name: str, x: Tensor, suffix: str, skip: str) -> Tensor:
    """A bottleneck block, written independently after the published forward pass."""

    def bn_relu(n: str, y: Tensor) -> Tensor:
        y = nn.functional.batch_norm(
            y, t[f"{n}.running_mean"], t[f"{n}.running_var"], t[f"{n}.weight"], t[f"{n}.bias"]
        )
        return y.relu()

    y = x
    for i, padding in ((1, 0), (2, 1), (3, 0)):
        key = f"{name}.conv{i}{suffix}"
        y = nn.functional.conv2d(
            bn_relu(f"{name}.bn{i}", y), t[f"{key}.weight"], t[f"{key}.bias"], padding=padding
        )
    key = f"{name}.{skip}"
    change = f"{key}.weight" in t and t[f"{key}.weight"].shape[0] != t[f"{key}.weight"].shape[1]
    return y + (nn.functional.conv2d(x, t[f"{key}.weight"], t[f"{key}.bias"]) if change else x)


@pytest.mark.parametrize(("maker", "entries"), [(bearpaw_file, 684), (princeton_file, 742)])
def test_two_stack_files_have_the_published_number_of_entries_and_load(maker, entries) -> None:
    file = maker(2)
    assert len(file) == entries
    converted = convert(file, Path("x"))
    network = build(converted.spec)
    network.load_state_dict(converted.tensors)  # strict: nothing missing, nothing left over
    assert converted.spec.arguments["stacks"] == 2


def test_bearpaw_s_level_0_is_the_lowest_and_its_hourglass_is_ours() -> None:
    torch.manual_seed(0)
    file = bearpaw_file(1)
    converted = convert(file, Path("x"))
    network = build(converted.spec)
    network.load_state_dict(converted.tensors)

    def hourglass(level: int, x: Tensor) -> Tensor:
        name = f"hg.0.hg.{level}"
        up = residual(file, f"{name}.0.0", x, "", "downsample.0")
        low = residual(file, f"{name}.1.0", nn.functional.max_pool2d(x, 2), "", "downsample.0")
        low = hourglass(level - 1, low) if level else residual(file, f"{name}.3.0", low, "", "downsample.0")
        low = residual(file, f"{name}.2.0", low, "", "downsample.0")
        return up + nn.functional.interpolate(low, scale_factor=2)

    x = torch.randn(1, 256, 16, 16)
    with torch.inference_mode():
        assert torch.allclose(network.eval().hg[0](x), hourglass(3, x), atol=1e-4)


def test_princeton_s_hourglass_is_ours_and_unused_skips_are_listed() -> None:
    torch.manual_seed(0)
    file = princeton_file(1)
    converted = convert(file, Path("x"))
    network = build(converted.spec)
    network.load_state_dict(converted.tensors)
    assert "pre.3.skip_layer.conv.weight" in converted.dropped
    assert "pre.1.skip_layer.conv.weight" not in converted.dropped

    def hourglass(name: str, depth: int, x: Tensor) -> Tensor:
        def r(part: str, y: Tensor) -> Tensor:
            return residual(file, f"{name}.{part}", y, ".conv", "skip_layer.conv")

        low = r("low1", nn.functional.max_pool2d(x, 2))
        low = hourglass(f"{name}.low2", depth - 1, low) if depth > 1 else r("low2", low)
        return r("up1", x) + nn.functional.interpolate(r("low3", low), scale_factor=2)

    x = torch.randn(1, 256, 16, 16)
    with torch.inference_mode():
        assert torch.allclose(network.eval().hg[0](x), hourglass("hgs.0.0", 4, x), atol=1e-4)


def test_preprocessing_travels_with_the_weights() -> None:
    bearpaw, princeton = convert(bearpaw_file(1), Path("x")).spec, convert(princeton_file(1), Path("x")).spec
    assert (bearpaw.mean, bearpaw.std, bearpaw.crop_factor) == (BEARPAW_MEAN, (1.0, 1.0, 1.0), 1.25)
    assert (princeton.mean, princeton.crop_factor) == ((0.0, 0.0, 0.0), 1.0)
    assert bearpaw.skeleton == princeton.skeleton == "mpii16"
    assert bearpaw.activation == "none"


@pytest.mark.parametrize("prefix", ["", "module.", "model.module."])
def test_prefixes_and_wrappings_are_taken_off(tmp_path, prefix) -> None:
    file = {prefix + name: tensor for name, tensor in bearpaw_file(1).items()}
    torch.save({"state_dict": file, "epoch": 3}, tmp_path / "hg1.pth")
    network, spec = load_published(tmp_path / "hg1.pth")
    assert spec.arguments["stacks"] == 1
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 16, 16, 16)


class Evil:
    def __reduce__(self):
        return (print, ("pickle ran code",))


def test_wide_open_pickles_and_other_networks_are_refused(tmp_path, capsys) -> None:
    with (tmp_path / "evil.pth").open("wb") as file:
        pickle.dump({"state_dict": Evil()}, file)
    torch.save({"state_dict": {"a.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    for name, says in [
        ("evil.pth", "loaded safely"),
        ("other.pth", "does not know"),
        ("none.pth", "no model file"),
    ]:
        with pytest.raises(PoseError, match=says):
            load_published(tmp_path / name)
    assert "pickle ran code" not in capsys.readouterr().out
    assert read_tensors(tmp_path / "other.pth").keys() == {"a.weight"}
