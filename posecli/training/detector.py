"""Train the person detector: an ultralytics YOLO with one class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from posecli.detect import Detector, save_detector
from posecli.errors import PoseError
from posecli.quiet import import_ultralytics
from posecli.training.detector_photos import write_dataset


@dataclass(frozen=True)
class DetectorRecipe:
    """How the detector is trained; every number goes to ultralytics as it is."""

    architecture: str = "yolo11n.yaml"
    size: int = 320
    epochs: int = 16
    batch: int = 16
    rate: float = 1e-3
    lspet: int = 1500  # people of lspet to add
    mosaic: float = 1.0  # share of the pictures that are four photos in one
    workers: int = 1
    seed: int = 0
    init_share: float = 0.0  # of the weights written, so much is those of `init`


def train_detector(
    annotations: Path,
    out: Path,
    recipe: DetectorRecipe,
    init: Path | None = None,
    resume: bool = False,
) -> Path:
    """Train on a COCO file with `boxes` and `source` fields (photos in images/ beside it).

    Writes out/detector.pt, half precision, without optimizer or paths; returns its path. Checkpoints
    of every epoch are in out/run/weights, and `resume` goes on from the last of them.

    With `init_share` the weights written are the mean of `init`'s and those learned: what a longer
    training adds, with less of what it forgets (Wortsman et al., "Robust fine-tuning of zero-shot
    models", CVPR 2022).
    """
    if recipe.init_share and init is None:
        raise PoseError("There is nothing to average with; give the detector to begin from (--init).")
    data = out / "data" / "people.yaml"
    last = out / "run" / "weights" / "last.pt"
    if resume and not last.exists():
        raise PoseError(f"There is no {last} to resume from; leave out --resume to start.")
    if resume and _ended(last):
        return save_detector(_best_or_last(out), out / "detector.pt", before=init, share=recipe.init_share)
    if not (resume and data.exists()):
        write_dataset(annotations, out / "data", recipe.lspet, init)
    import_ultralytics()
    from ultralytics.models.yolo.detect import DetectionTrainer

    threads = torch.get_num_threads()

    class Trainer(DetectionTrainer):  # type: ignore[misc]
        def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = False) -> Any:
            model = super().get_model(cfg, weights, verbose=False)
            if init is not None and not resume:
                model.load_state_dict(Detector.load(init, fuse=False).network.state_dict())
            return model

    overrides = {
        "model": str(last) if resume else recipe.architecture,
        # A path: for True ultralytics would take the newest last.pt below the working directory.
        "resume": str(last) if resume else False,
        "data": str(data.resolve()),
        "imgsz": recipe.size,
        "epochs": recipe.epochs,
        "batch": recipe.batch,
        "nbs": recipe.batch,  # else ultralytics gathers batches up to 64 photos for one step
        "lr0": recipe.rate,
        "optimizer": "AdamW",
        "lrf": 0.02,
        "cos_lr": True,
        "warmup_epochs": 0.5,
        # The default of 0.1 is meant for SGD; under AdamW it throws a trained detector's biases away.
        "warmup_bias_lr": 0.0,
        "mosaic": recipe.mosaic,
        "close_mosaic": max(1, recipe.epochs // 5),
        "degrees": 8.0,
        "flipud": 0.05,  # people stand on their hands too
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
        # ultralytics' select_device('cpu') leaves torch only cores - 1 threads.
        torch.set_num_threads(threads)
        if not torch.cuda.is_available():
            _predict_in_bfloat16(trainer.model)

    trainer.add_callback("on_train_start", on_train_start)
    trainer.add_callback("on_fit_epoch_end", _tell)
    trainer.train()
    return save_detector(_best_or_last(out), out / "detector.pt", before=init, share=recipe.init_share)


def _predict_in_bfloat16(network: Any) -> None:
    """Autocast on the CPU, which ultralytics refuses to do: 35 photos/s instead of 25 at 320 px on a
    processor with avx512_bf16. The EMA copy, the one that is saved, was made before and stays plain."""
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
    """Whether all epochs are done: ultralytics then takes the optimizer out and sets the epoch to -1."""
    return int(torch.load(last, map_location="cpu", weights_only=False)["epoch"]) == -1


def _best_or_last(out: Path) -> Path:
    best = out / "run" / "weights" / "best.pt"
    return best if best.exists() else out / "run" / "weights" / "last.pt"


def _tell(trainer: Any) -> None:
    terms = trainer.tloss.values() if isinstance(trainer.tloss, dict) else trainer.tloss
    loss = [round(float(v), 3) for v in terms]
    scores = {k.split("/")[-1]: round(float(v), 4) for k, v in trainer.metrics.items() if "metrics" in k}
    if trainer.epoch < trainer.epochs:
        print(f"epoch {trainer.epoch + 1}/{trainer.epochs}, loss {loss}, dev {scores}", flush=True)
    else:  # ultralytics looks at the best weights once more in the end, as an epoch beyond the last
        print(f"best, dev {scores}", flush=True)
