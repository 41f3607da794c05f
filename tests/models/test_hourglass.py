"""The stacked hourglass: published parameter counts, shapes, and variants of its block."""

from pathlib import Path

import pytest
import torch

from posecli.models.blocks import GatedResidual, PyramidResidual, Residual
from posecli.models.hourglass import StackedHourglass
from posecli.models.published import convert
from tests.support.published import princeton_file

BEARPAW = (64, 128, 256)  # stem of bearpaw/pytorch-pose and anibali/pytorch-stacked-hourglass
PRINCETON = (64, 128, 128)  # stem of the paper and of princeton-vl


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("stacks", "published"), [(1, 3_586_960), (2, 6_730_912), (8, 25_594_624)])
def test_parameter_counts_equal_bearpaw_s(stacks, published) -> None:
    assert parameters(StackedHourglass(stacks, 256, 16, BEARPAW, bias=True)) == published


@pytest.mark.parametrize(("stacks", "published"), [(1, 4_364_048), (2, 8_429_088), (8, 32_819_328)])
def test_parameter_counts_and_unused_skips_equal_princeton_s(stacks, published) -> None:
    file = princeton_file(stacks)
    dropped = convert(file, Path("2hg.tar")).dropped
    network = StackedHourglass(stacks, 256, 16, PRINCETON, bias=True)
    assert parameters(network) + sum(file[name].numel() for name in dropped) == published


def test_our_small_network_has_the_counted_size() -> None:
    assert parameters(StackedHourglass(2, 128, 19)) == 1_741_414


@pytest.mark.parametrize("size", [64, 128, 192])
def test_a_quarter_of_the_crop_comes_out_after_every_stack(size) -> None:
    network = StackedHourglass(3, 16, 5, (8, 16, 16)).eval()
    with torch.inference_mode():
        maps = network(torch.zeros(2, 3, size, size))
    assert maps.shape == (2, 3, 5, size // 4, size // 4)


def test_each_stack_sees_the_maps_of_the_one_before() -> None:
    network = StackedHourglass(2, 16, 4, (8, 16, 16)).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = network(x)
        network.merge_score[0].weight += 1.0
        after = network(x)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_layers_for_feet_give_the_last_joints_and_leave_the_others_alone() -> None:
    torch.manual_seed(0)
    network = StackedHourglass(2, 16, 6, (8, 16, 16), feet=2).eval()
    plain = StackedHourglass(2, 16, 6, (8, 16, 16)).eval()
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("feet.")}
    plain.load_state_dict(own)
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        before, maps = plain(x), network(x)
        assert torch.equal(maps[:, 0], before[:, 0])
        assert torch.equal(maps[:, 1, :4], before[:, 1, :4])
        network.feet[-1].bias += 1.0
        moved = network(x)
    assert torch.allclose(moved[:, 1, 4:], maps[:, 1, 4:] + 1.0, atol=1e-5)
    assert torch.equal(moved[:, 1, :4], before[:, 1, :4])


def test_gated_and_pyramid_blocks() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8, 12, 12)
    plain, gated = Residual(8, 8).eval(), GatedResidual(8, 8).eval()
    gated.load_state_dict({**plain.state_dict(), "gate": gated.gate})
    assert torch.allclose(gated(x), plain(x))  # gates start at 1
    with torch.no_grad():
        gated.gate.fill_(0.25)
    assert torch.allclose(gated(x), plain(x) - 0.75 * x, atol=1e-6)
    pyramid = PyramidResidual(8, 16).eval()
    assert pyramid(x).shape == (2, 16, 12, 12)
    alone = Residual(8, 16).eval()
    alone.load_state_dict({k: v for k, v in pyramid.state_dict().items() if k in alone.state_dict()})
    assert not torch.allclose(pyramid(x), alone(x))
    with torch.no_grad():
        pyramid.conv_out.weight.zero_()
    assert torch.allclose(pyramid(x), alone(x), atol=1e-6)


@pytest.mark.parametrize("block", ["gated", "pyramid"])
def test_hourglasses_of_other_blocks_keep_their_shape_and_learn(block) -> None:
    network = StackedHourglass(2, 16, 5, (8, 8, 8), block=block)
    maps = network(torch.randn(2, 3, 64, 64))
    assert maps.shape == (2, 2, 5, 16, 16)
    maps.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
