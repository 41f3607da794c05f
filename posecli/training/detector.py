"""Trains the person detector: an ultralytics YOLO with one class."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from posecli.engines.detector import Detector, save_detector
from posecli.errors import PoseError
from posecli.silence import import_ultralytics
from posecli.training.detector_photos import write_dataset


@dataclass(frozen=True)
class DetectorRecipe:
    """Settings of the detector training, passed on to ultralytics."""

    architecture: str = "yolov8n"  # name of an ultralytics detection network
    size: int = 416  # side of the input in pixels
    epochs: int = 16
    batch: int = 16
    rate: float = 1e-3  # learning rate
    lspet: int = 2500  # number of people of lspet to add
    mosaic: float = 1.0  # share of the inputs that combine four photos
    workers: int = 1
    seed: int = 0
    init_share: float = 0.0  # weight of `init` in the average with the trained weights


def train_detector(
    annotations: Path,
    out: Path,
    recipe: DetectorRecipe,
    init: Path | None = None,
    resume: bool = False,
) -> Path:
    """Train on a COCO file with `boxes` and `source` fields. The photos are in images/ next to it.

    Writes out/detector.pt in half precision, without optimizer state or paths, and returns its path.
    init: a detector, or a state dict of the same network, to start from.
    resume: continue from the last checkpoint in out/run/weights.
    Raises PoseError if there is nothing to resume from, or if `init` does not fit.

    The last epoch is written, not the best one. The dev set is so small that its best epoch is chance.
    With `init_share`, the weights of `init` and the trained weights are averaged. This keeps more of what the
    first training learned (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
    """
    if recipe.init_share and init is None:
        raise PoseError("There is nothing to average with; give the detector to begin from (--init).")
    data = out / "data" / "people.yaml"
    last = out / "run" / "weights" / "last.pt"
    if resume and not last.exists():
        raise PoseError(f"There is no {last} to resume from; leave out --resume to start.")
    begin = None if init is None else initial_weights(init)
    network = build(recipe.architecture, begin)
    if not (resume and _ended(last)):
        if not (resume and data.exists()):
            finder = (
                None
                if begin is None
                else Detector(network.fuse(verbose=False).eval(), 0, 1, "init", size=recipe.size)
            )
            write_dataset(annotations, out / "data", recipe.lspet, finder)
        _train(data, out, recipe, begin, last if resume else None)
    return save_detector(last, out / "detector.pt", recipe.size, begin, recipe.init_share)


def initial_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of an ultralytics detector or a plain state dict, which may be stored under the key "model"."""
    if not path.is_file():
        raise PoseError(f"There is no detector file {path}; give a .pt file to begin from.")
    tensors: Any = None
    with suppress(UnpicklingError, RuntimeError):  # files by ultralytics contain more than tensors
        stored = torch.load(path, map_location="cpu", weights_only=True)
        tensors = stored.get("model", stored) if isinstance(stored, dict) else None
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        return dict(Detector.load(path, fuse=False).network.state_dict())
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def build(name: str, begin: Mapping[str, Tensor] | None) -> Any:
    """Build the ultralytics detection network `name` for one class.

    begin: initial weights, or None.
    Raises PoseError for an unknown name, and for weights of another network.
    """
    import_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    try:
        if not re.fullmatch(r"[\w-]+", name):  # ultralytics would download from a URL
            raise ValueError(name)
        network = DetectionModel(f"{name}.yaml", nc=1, verbose=False)
    except Exception as error:
        raise PoseError(
            f"ultralytics has no detection network {name!r}; --arch is a name such as yolov8n or yolo11n."
        ) from error
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    if begin is not None and {key: value.shape for key, value in begin.items()} != shapes:
        raise PoseError(
            f"The weights to begin from are not those of a {name}; name their network with --arch."
        )
    if begin is not None:
        network.load_state_dict(begin)
    return network


def _train(
    data: Path, out: Path, recipe: DetectorRecipe, begin: Mapping[str, Tensor] | None, last: Path | None
) -> None:
    """Train with ultralytics into out/run. begin: initial weights. last: checkpoint to resume from."""
    import_ultralytics()
    from ultralytics.models.yolo.detect import DetectionTrainer

    threads = torch.get_num_threads()

    class Trainer(DetectionTrainer):  # type: ignore[misc]
        def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = False) -> Any:
            model = super().get_model(cfg, weights, verbose=False)
            if begin is not None and last is None:
                model.load_state_dict(begin)
            return model

    overrides = {
        "model": str(last) if last else f"{recipe.architecture}.yaml",
        # With True, ultralytics would take the newest last.pt below the working directory.
        "resume": str(last) if last else False,
        "data": str(data.resolve()),
        "imgsz": recipe.size,
        "epochs": recipe.epochs,
        "batch": recipe.batch,
        "nbs": recipe.batch,  # the default accumulates gradients over 64 photos
        "lr0": recipe.rate,
        "optimizer": "AdamW",
        "lrf": 0.02,
        "cos_lr": True,
        "warmup_epochs": 0.5,
        # The default of 0.1 is meant for SGD. With AdamW it destroys the biases of a trained detector.
        "warmup_bias_lr": 0.0,
        "mosaic": recipe.mosaic,
        "close_mosaic": max(1, recipe.epochs // 5),
        "degrees": 8.0,
        "flipud": 0.05,  # handstands
        "scale": 0.5,
        "workers": recipe.workers,
        "cache": "ram",
        "amp": torch.cuda.is_available(),
        "device": "0" if torch.cuda.is_available() else "cpu",
        "seed": recipe.seed,
        "plots": False,
        "project": str(out.resolve()),
        "name": "run",
        "exist_ok": True,
    }
    trainer = Trainer(overrides=overrides)

    def on_train_start(_: Any) -> None:
        # ultralytics' select_device('cpu') reduces torch to cores - 1 threads.
        torch.set_num_threads(threads)
        if torch.cpu._is_avx512_bf16_supported() and not torch.cuda.is_available():
            _predict_in_bfloat16(trainer.model)

    trainer.add_callback("on_train_start", on_train_start)
    trainer.add_callback("on_fit_epoch_end", _tell)
    trainer.train()


def _predict_in_bfloat16(network: Any) -> None:
    """Use bfloat16 autocast on the CPU, which ultralytics does not support.

    On a CPU with avx512_bf16, a yolo11n at 320 px trains on 35 photos/s instead of 25. Without avx512_bf16 it
    is slower than float32. The saved EMA copy of the weights already exists and does not change.
    """
    predict = network.predict

    def predict_fast(x: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            raw = predict(x.contiguous(memory_format=torch.channels_last), *arguments, **options)
        return _to_float(raw)

    network.to(memory_format=torch.channels_last)
    network.predict = predict_fast


def _to_float(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {key: _to_float(value) for key, value in raw.items()}
    if isinstance(raw, list | tuple):
        return type(raw)(_to_float(value) for value in raw)
    return raw.float()


def _ended(last: Path) -> bool:
    """Whether all epochs are done. ultralytics then removes the optimizer and sets the epoch to -1."""
    return int(torch.load(last, map_location="cpu", weights_only=False)["epoch"]) == -1


def _tell(trainer: Any) -> None:
    terms = trainer.tloss.values() if isinstance(trainer.tloss, dict) else trainer.tloss
    loss = [round(float(v), 3) for v in terms]
    scores = {k.split("/")[-1]: round(float(v), 4) for k, v in trainer.metrics.items() if "metrics" in k}
    if trainer.epoch < trainer.epochs:
        print(f"epoch {trainer.epoch + 1}/{trainer.epochs}, loss {loss}, dev {scores}", flush=True)
    else:  # ultralytics validates the best weights at the end, as an extra epoch
        print(f"best, dev {scores}", flush=True)
