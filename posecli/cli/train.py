"""posecli train"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Optional

import typer


def train(
    data: Annotated[
        list[str],
        typer.Option(
            "--data", help="KIND:PATH, KIND one of coco, lsp, lspet, mpii, flic; or pack:FILE. Several join."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder.")],
    arch: Annotated[
        str,
        typer.Option(
            help="The network: hourglass, simple_baseline, hrnet, lite_hrnet, cpn, deeppose or cpm."
        ),
    ] = "hourglass",
    stacks: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, max=8, help="Of the hourglass. Default: 2."),
    ] = None,
    features: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=8, help="Of the hourglass. Default: 128."),
    ] = None,
    stem: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Of the hourglass: lite_hrnet puts a Lite-HRNet before it, which --init brings. Default: the paper's."
        ),
    ] = None,
    stem_rate: Annotated[
        float,
        typer.Option(
            min=0.0, help="Learning rate of that stem, as a share of --rate; 0: the stem stays as it is."
        ),
    ] = 0.2,
    block: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Of the hourglass: residual (the default), gated (Bulat 2020) or pyramid (Yang 2017)."
        ),
    ] = None,
    depth: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Of the ResNet in simple_baseline (50, 101, 152) and cpn (50, 101). Default: 50."),
    ] = None,
    backbone: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Of deeppose: alexnet (the default, as in the paper) or resnet (with --depth)."),
    ] = None,
    stages: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, max=8, help="Of deeppose's cascade (default 3) and of cpm (default 6)."),
    ] = None,
    width: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=4, help="Of hrnet: 32 (the default) or 48 in the paper."),
    ] = None,
    skeleton: Annotated[str, typer.Option(help="Joints to learn, matched to the data's by name.")] = "body19",
    input_size: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Side of the crops in pixels, or HEIGHTxWIDTH; for an hourglass multiples of 64. Default: 192, or "
            "the paper's."
        ),
    ] = None,
    crops: Annotated[int, typer.Option(min=1, help="How many crops to train on.")] = 100_000,
    resize_schedule: Annotated[
        str | None, typer.Option(help="SIZE:CROPS,SIZE:CROPS instead: small crops first, cheap.")
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            help="default: ours, the same for all networks; paper: crops, distortions, loss and schedule of "
            "the network's own paper."
        ),
    ] = "default",
    distort: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="How strongly crops are varied: 1 as the recipe says, 0 not at all. Less suits a small network "
            "that scores no better on the people it learns from than on others.",
        ),
    ] = 1.0,
    batch: Annotated[int, typer.Option(min=1)] = 32,
    rate: Annotated[float | None, typer.Option(help="Highest learning rate. Default: the recipe's.")] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="adamw or muon, which learns more from the same crops, best with --batch 16. Default: the recipe's."
        ),
    ] = None,
    loss: Annotated[Optional[str], typer.Option(help="cross-entropy or mse. Default: the recipe's.")] = None,  # noqa: UP045
    supervise: Annotated[
        str,
        typer.Option(
            help="all: a loss after every stack; inside: also before each hourglass's last upsampling; "
            "last: only at the end."
        ),
    ] = "all",
    residuals: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1, help="Residual modules at each place of an hourglass. Default: 1, as in the paper."
        ),
    ] = None,
    weight: Annotated[
        list[str] | None, typer.Option(help="SOURCE=W: show people of a source W times as often.")
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            help="Begin from these weights (fresh optimizer): of more stacks or stages the first are taken, "
            "further ones begin as copies of the last."
        ),
    ] = None,
    init_share: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="In the end, write the mean of so much of --init's weights and the rest of the learned ones, too.",
        ),
    ] = 0.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto (measured), float32, bfloat16 or float16.")] = "auto",
    images: Annotated[
        Path | None, typer.Option(help="The photos' folder, where it is not beside the file.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Keep the cut-out people in this file; read from it if it is there."),
    ] = None,
    patch_pixels: Annotated[int, typer.Option(help="Larger people are kept at this size.")] = 256,
    min_joints: Annotated[int, typer.Option(help="Leave out people with fewer labelled joints.")] = 4,
    min_box: Annotated[float, typer.Option(help="Leave out people smaller than this, in pixels.")] = 40.0,
    validate_every: Annotated[int, typer.Option(min=1, help="Crops between validations on dev.")] = 10_000,
    patience: Annotated[
        int, typer.Option(help="Stop after so many validations without a better PCK; 0: never.")
    ] = 0,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of what is random. By default 0, or one more than that of --init, so that other crops are shown.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q")] = False,
) -> None:
    """Train a keypoint network.

    [bold]Examples[/bold]

      posecli train --data coco:annotations/person_keypoints_train2017.json --out runs/mine
      posecli train --data lsp:lsp --data mpii:mpii --skeleton mpii16 --recipe paper --out runs/paper
      posecli train --data coco:people/train.json --resize-schedule 128:80000,192:40000 --out runs/small
      posecli train --data coco:people/train.json --arch simple_baseline --depth 50 --out runs/r50
      posecli train --data coco:people/train.json --arch hrnet --skeleton coco17 --recipe paper --out runs/w32
      torchrun --nproc-per-node 2 -m posecli train --data coco:people/train.json --out runs/two

    [bold]Figure 8 of the paper[/bold], where the loss sits and what stacking gives

      posecli train --data mpii:mpii --skeleton mpii16 --recipe paper --out hg       --stacks 1 --residuals 8 --supervise last
      posecli train --data mpii:mpii --skeleton mpii16 --recipe paper --out hg-int   --stacks 1 --residuals 8 --supervise inside
      posecli train --data mpii:mpii --skeleton mpii16 --recipe paper --out stacked  --stacks 8 --supervise last
      posecli train --data mpii:mpii --skeleton mpii16 --recipe paper --out stacked-int --stacks 8
    """  # fmt: skip
    from dataclasses import replace

    from posecli.cli.train_view import TrainView
    from posecli.engines.devices import pick_device
    from posecli.models.blocks import BLOCKS
    from posecli.models.networks import NETWORKS, arguments_of
    from posecli.skeletons import find_skeleton
    from posecli.training import loop
    from posecli.training.average import average
    from posecli.training.calibrate import calibrate
    from posecli.training.config import TrainConfig
    from posecli.training.recipes import DEFAULT_SIZE, RECIPES, parse_size, parse_sizes, with_muon
    from posecli.training.report import check_new_run, plot_run, start_run

    find_skeleton(skeleton)
    if recipe not in RECIPES:
        raise typer.BadParameter(f"--recipe is one of {', '.join(RECIPES)}.")
    choices: tuple[tuple[str, str | None, Collection[str]], ...] = (
        ("--optimizer", optimizer, ("adamw", "muon")),
        ("--loss", loss, ("cross-entropy", "mse")),
        ("--supervise", supervise, ("all", "inside", "last")),
        ("--precision", precision, ("auto", "float32", "bfloat16", "float16")),
        ("--stem", stem, ("lite_hrnet",)),
        ("--block", block, BLOCKS),
        ("--backbone", backbone, ("alexnet", "resnet")),
        ("--arch", arch, NETWORKS),
    )
    for name, value, allowed in choices:
        if value is not None and value not in allowed:
            raise typer.BadParameter(f"{name} is one of {', '.join(allowed)}.")
    if depth not in (None, 50, 101, 152) or (arch == "cpn" and depth == 152):
        raise typer.BadParameter(f"--depth {depth} is not one that {arch} is built with.")
    asked: dict[str, Any] = {
        "stacks": stacks, "features": features, "stem": stem, "block": block, "residuals": residuals, "depth": depth,
        "backbone": backbone, "stages": stages, "width": width,
        "inner_score": True if supervise == "inside" else None,
        # Batch-norms are folded away in the file that a Lite-HRNet begins from.
        "norm": False if arch == "lite_hrnet" and init is not None else None,
    }  # fmt: skip
    if arch == "deeppose":
        asked["torso"] = [find_skeleton(skeleton).joints.index(j) for j in ("left_shoulder", "right_hip")]
    arguments = arguments_of(arch, asked)
    if resize_schedule:
        sizes = parse_sizes(resize_schedule, arch)
    elif input_size:
        sizes = ((parse_size(input_size, arch), crops),)
    else:
        own = recipe == "paper" or "lite_hrnet" in (arch, stem)
        sizes = ((NETWORKS[stem or arch].paper_size if own else DEFAULT_SIZE, crops),)
    config = RECIPES[recipe](
        TrainConfig(
            architecture=arch,
            arguments=arguments,
            skeleton=skeleton,
            sizes=sizes,
            batch=batch,
            supervise="last" if supervise == "last" else "all",
            weights=tuple(_weight(w) for w in weight or []),
            precision=precision,  # type: ignore[arg-type]
            seed=_seed(init, out if resume else None) if seed is None else seed,
            validate_every=validate_every,
            patience=patience,
        )
    )
    if optimizer == "muon":
        config = with_muon(config)
    elif optimizer == "adamw":
        config = replace(config, optimizer="adamw")
    config = replace(config, augmentation=config.augmentation.scaled(distort))
    changes: dict[str, Any] = {"rate": rate, "loss": loss, "stem_rate": stem_rate if stem else None}
    config = replace(config, **{k: v for k, v in changes.items() if v is not None})
    if init_share and init is None:
        raise typer.BadParameter("--init-share needs --init, the weights to average with.")
    check_new_run(out, resume)
    chosen = pick_device(device)
    store = _store(data, config, images, cache, patch_pixels, min_joints, min_box, quiet)
    out.mkdir(parents=True, exist_ok=True)
    if os.environ.get("RANK", "0") != "0":  # one process of torchrun's tells and writes
        loop.train(config, store, out, device=chosen, init=init, resume=resume)
        return
    start_run(out, config, store, init)
    with TrainView(config, quiet) as view, _tensorboard(out) as board:

        def report(progress: loop.Progress) -> None:
            view(progress)
            board(progress)

        best = loop.train(config, store, out, device=chosen, init=init, resume=resume, report=report)
    plot_run(out)
    if store.people.dev.any():
        calibrate(best, store, chosen)
    print(best)
    if init is not None and init_share:
        print(average(best, init, init_share, store, chosen))


def _seed(init: Path | None, resumed: Path | None) -> int:
    """The seed where none is given: what is gone on with keeps its own; what begins from weights takes another
    than they had, as the crops that they saw first would come again in the same order.
    """
    from posecli.models.checkpoints import read_spec

    if resumed is not None and (resumed / "last.safetensors").exists():
        return int(read_spec(resumed / "last.safetensors").training.get("seed", 0))
    return 0 if init is None else int(read_spec(init).training.get("seed", 0)) + 1


def _tensorboard(out: Path) -> Any:
    """Logs for TensorBoard where it is installed; nothing else depends on it."""
    from posecli.cli import console
    from posecli.training.report import TensorBoard

    try:
        return TensorBoard(out)
    except ImportError:
        console.tell('No TensorBoard logs: pip install "posecli[train]" brings it.')
        return nullcontext(lambda _: None)


def _weight(text: str) -> tuple[str, float]:
    source, _, value = text.partition("=")
    try:
        return source, float(value)
    except ValueError:
        raise typer.BadParameter(f"--weight {text} is not SOURCE=NUMBER.") from None


def _store(
    data: list[str], config: Any, images: Path | None, cache: Path | None, patch_pixels: int,
    min_joints: int, min_box: float, quiet: bool,
) -> Any:  # fmt: skip
    """The people to train on, cut out of their photos."""
    from posecli.cli import console
    from posecli.data.cache import cut_patches, load_pack, save_pack
    from posecli.data.people import in_skeleton, joined
    from posecli.data.read import read_people
    from posecli.errors import PoseError
    from posecli.metrics.pck import box_sizes
    from posecli.skeletons import SKELETONS

    if cache is not None and cache.exists():
        console.tell(f"People are read from {cache}.", quiet)
        return load_pack(cache)
    if len(data) == 1 and data[0].startswith("pack:"):
        return load_pack(Path(data[0].removeprefix("pack:")))
    people = joined([in_skeleton(read_people(d, images), SKELETONS[config.skeleton]) for d in data])
    enough = ((people.visible > 0).sum(axis=1) >= min_joints) & (box_sizes(people.boxes) >= min_box)
    if not enough.any():
        raise PoseError(f"Nobody in the data has {min_joints} labelled joints and {min_box:.0f} pixels.")
    with console.progress("reading photos", None, "photos", quiet) as bar:

        def show(done: int, total: int) -> None:
            if bar:
                bar.update(bar.task_ids[0], completed=done, total=total)

        store = cut_patches(people.take(enough), patch_pixels, show)
    for warning in store.people.warnings:
        console.tell(f"Warning: {warning}", quiet)
    if cache is not None:
        save_pack(store, cache)
    return store
