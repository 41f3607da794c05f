from pathlib import Path

import pytest
import torch
from test_published import princeton_file

from posecli.models.hourglass import StackedHourglass
from posecli.models.published import convert

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
