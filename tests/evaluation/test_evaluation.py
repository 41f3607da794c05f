"""`posecli train` and `posecli eval` on the 12 COCO photos."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from posecli.cli.app import main
from posecli.data.lsp import read_lsp
from posecli.data.read import read_people
from posecli.errors import PoseError
from posecli.evaluation.keypoints import Predictions, score
from posecli.evaluation.pages import case_picture, worst_people
from posecli.models.hourglass import StackedHourglass
from posecli.sources.open import open_source
from posecli.training import memory
from posecli.training.config import TrainConfig


def posecli(*arguments: object) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    assert not ended.value.code


@pytest.fixture(scope="module")
def trained(shared, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("train") / "run"
    posecli(
        "train", "--data", f"coco:{shared}/data/raw_layouts/coco", "--out", out, "--crops", 480, "--batch", 8,
        "--input-size", 64, "--features", 32, "--rate", 4e-3, "--validate-every", 480, "--quiet",
    )  # fmt: skip
    return out


@pytest.mark.models
def test_a_newcomer_sees_the_loss_fall_and_a_plot(trained) -> None:
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"][-1] < 0.97 * lines[0]["loss"][-1]
    assert (trained / "curves.png").stat().st_size > 5000
    assert list((trained / "tensorboard").iterdir())
    run = json.loads((trained / "run.json").read_text())
    assert run["config"]["seed"] == 0
    assert len(run["data"]["checksum"]) == 64


@pytest.mark.models
def test_eval_writes_scores_pages_and_predictions_that_score_the_same(trained, shared, tmp_path) -> None:
    data = f"coco:{shared}/data/raw_layouts/coco"
    posecli(
        "eval", "--model", trained / "last.safetensors", "--data", data, "--per-stack",
        "--report", tmp_path / "report", "--json", tmp_path / "a.json",
        "--save-predictions", tmp_path / "predictions.json", "--quiet",
    )  # fmt: skip
    scores = json.loads((tmp_path / "a.json").read_text())
    assert set(scores["stacks"]) == {"stack 1", "stack 2"}
    assert scores["stacks"]["stack 2"]["overall"] == scores["overall"]["pck"]["value"]
    page = (tmp_path / "report" / "index.html").read_text()
    pictures = sorted((tmp_path / "report" / "worst").iterdir())
    assert len(pictures) == 24
    assert all(f"worst/{p.name}" in page for p in pictures)
    for name in ("curve.png", "reliability.png", "scores.json"):
        assert (tmp_path / "report" / name).stat().st_size > 1000
    posecli(
        "eval", "--data", data, "--predictions", tmp_path / "predictions.json", "--json", tmp_path / "b.json"
    )
    again = json.loads((tmp_path / "b.json").read_text())
    assert again["overall"]["ap"] == pytest.approx(scores["overall"]["ap"], abs=1e-6)
    assert again["overall"]["pck"]["value"] == pytest.approx(scores["overall"]["pck"]["value"], abs=1e-3)
    people = read_people(data)
    names = people.joints
    ends = people.visible[:, [names.index("left_shoulder"), names.index("right_hip")]] > 0
    count = ((people.visible > 0) & ends.all(axis=1)[:, None]).sum(axis=0)
    pdj = scores["overall"]["pdj"]
    assert pdj["alpha"][3] == 0.2
    at_fifth = np.array([pdj["per_joint"][name][3] for name in names])
    assert (at_fifth @ count) / count.sum() == pytest.approx(scores["overall"]["pck_lsp"]["value"], abs=1e-4)


@pytest.mark.models
def test_a_quick_look_scores_whole_photos_the_same_each_time(trained, shared, tmp_path) -> None:
    data = f"coco:{shared}/data/raw_layouts/coco"
    everybody = read_people(data)
    scores = []
    for name in ("a", "b"):
        out = tmp_path / f"{name}.json"
        posecli(
            "eval", "--model", trained / "last.safetensors", "--data", data, "--photos", 3, "--quiet",
            "--json", out, "--save-predictions", tmp_path / f"{name}.found.json",
        )  # fmt: skip
        scores.append(json.loads(out.read_text()))
    assert scores[0] == scores[1]
    found = json.loads((tmp_path / "a.found.json").read_text())
    chosen = {r["image_id"] for r in found}
    assert len(chosen) == 3
    assert scores[0]["overall"]["people"] == np.isin(everybody.image_ids, list(chosen)).sum() == len(found)


def test_the_worst_come_first(shared) -> None:
    people = read_people(f"lspet:{shared}/data/raw_layouts/lspet")
    points = np.concatenate([people.keypoints, np.ones((*people.visible.shape, 1))], axis=2)
    points[3, :, 0] += 1000
    points[5, :4, 0] += 1000
    worst = worst_people(people, Predictions(points, np.ones(len(people)), {}))
    assert [row for row, _ in worst] == [3, 5]
    assert worst[0][1] == 0
    assert case_picture(people, 3, points[3]).shape == (260, 260, 3)


def test_photos_in_which_nobody_was_found_count_as_missed(shared) -> None:
    people = read_people(f"lspet:{shared}/data/raw_layouts/lspet")
    nobody = np.full((*people.visible.shape, 3), np.nan, np.float32)
    scores = score(people, Predictions(nobody, np.zeros(len(people)), {}))["overall"]
    assert (scores["pck"]["value"], scores["ap"], scores["people"]) == (0, 0, len(people))


def test_lsp_s_parts_are_told_apart(shared, tmp_path) -> None:
    import scipy.io

    joints = np.full((3, 14, 1002), 50.0)
    joints[:2] += np.arange(14)[:, None] * 7
    joints[2] = 0
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    assert read_people(f"lsp-test:{tmp_path}").ids.tolist() == [1001, 1002]
    train = read_lsp(tmp_path, part="train")
    assert (len(train), train.sources[0]) == (1000, "lsp-train")
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints[..., :5]})
    with pytest.raises(PoseError, match="no test part"):
        read_people(f"lsp-test:{tmp_path}")


def test_losses_inside_an_hourglass_and_long_hourglasses() -> None:
    crops = torch.zeros(1, 3, 64, 64)
    inner = StackedHourglass(2, 8, 5, (4, 4, 4), inner_score=True).eval()
    maps = inner(crops)
    assert maps.shape == (1, 4, 5, 16, 16)
    assert (maps[:, 0, :, ::2, ::2] == maps[:, 0, :, 1::2, 1::2]).all()  # upsampled by a factor of 2
    plain = StackedHourglass(2, 8, 5, (4, 4, 4)).eval()
    assert inner.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert torch.allclose(inner(crops)[:, [1, 3]], plain(crops))

    def residuals(network: torch.nn.Module) -> int:
        return sum(type(m).__name__ == "Residual" for m in network.hg.modules())

    assert residuals(StackedHourglass(1, 8, 5, residuals=4)) == residuals(StackedHourglass(4, 8, 5))


def test_a_batch_that_does_not_fit_is_said_before_with_one_that_does(monkeypatch) -> None:
    network = StackedHourglass(1, 16, 3, (8, 8, 8))
    before = {name: b.clone() for name, b in network.named_buffers()}
    config = TrainConfig(sizes=(((64, 64), 64),), batch=64)
    cpu = torch.device("cpu")
    each = memory.crop_memory(network, (64, 64), cpu, None)
    assert memory.crop_memory(network, (128, 128), cpu, None) == pytest.approx(4 * each, rel=0.1)
    monkeypatch.setattr(memory, "free_memory", lambda _: 30 * each)
    with pytest.raises(PoseError, match=r"--batch (\d+) would fit") as refused:
        memory.check_memory(network, config, cpu, None)
    fits = int(str(refused.value).split("--batch ")[1].split()[0])
    assert 10 < fits < 30
    memory.check_memory(network, TrainConfig(sizes=(((64, 64), 64),), batch=fits), cpu, None)
    assert all((b == before[name]).all() for name, b in network.named_buffers())


@pytest.mark.models
def test_two_models_are_compared_on_data_and_on_a_clip(
    trained, shared, bus_clip, bus, tmp_path, capsys
) -> None:
    data = f"coco:{shared}/data/raw_layouts/coco"
    models = (trained / "last.safetensors", "small")
    posecli(
        "compare", *models, "--data", data, "--json", tmp_path / "c.json",
        "--clip", bus_clip, "--out", tmp_path / "both.mp4", "--quiet",
    )  # fmt: skip
    rows = json.loads((tmp_path / "c.json").read_text())
    assert [row["name"] for row in rows] == ["last", "small"]
    assert rows[1]["parameters"] == 1_841_543
    # 0.3 of them are the stem, as its authors state.
    assert rows[1]["gmacs"] == pytest.approx(0.820, abs=0.005)
    assert rows[1]["scores"]["overall"] > rows[0]["scores"]["overall"]
    assert "1,841,543" in capsys.readouterr().out
    source, both = open_source(str(bus_clip)), open_source(str(tmp_path / "both.mp4"))
    assert (both.width, both.height) == (2 * source.width, source.height + 28)
    assert [f.time for f in both] == [f.time for f in source]
    posecli("compare", *models, "--clip", bus, "--out", tmp_path / "both.jpg", "--quiet")
    assert cv2.imread(str(tmp_path / "both.jpg")).shape[1] == 2 * cv2.imread(str(bus)).shape[1]
    with pytest.raises(SystemExit) as ended:
        main(["compare", "small"])
    assert ended.value.code == 2
