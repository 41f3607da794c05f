"""posecli train"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from posecli.cli import options as o
from posecli.models.networks import NETWORKS, arguments_of

if TYPE_CHECKING:
    import torch

    from posecli.data.cache import PatchStore
    from posecli.training.config import TrainConfig

TORSO = ("left_shoulder", "right_hip")  # DeepPose scales by the distance between these joints
DATA, NET, LEARN, BEGIN, CROPS = "Data", "Network", "Learning", "Begin and resume", "Crops"


def train(
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            help="Labelled people as KIND:PATH. KIND is coco, lsp, lspet, mpii, flic, or pack (a file of --cache). Can be "
            "repeated.",
            rich_help_panel=DATA,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for checkpoints and logs.", rich_help_panel=o.OUTPUT)
    ],
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of the photos. Default: next to the label file.", rich_help_panel=DATA),
    ] = None,
    skeleton: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Set of joints to learn. Default: that of the hourglass in --init, or body19.",
            rich_help_panel=DATA,
        ),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            help="SOURCE=W: use the people of this data set W times as often, such as lspet=2.",
            rich_help_panel=DATA,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="File for the cropped people. It is written once and read by later trainings.",
            rich_help_panel=DATA,
        ),
    ] = None,
    patch_pixels: Annotated[
        int,
        typer.Option(
            help="Shrink people whose bounding box is larger than this, in pixels.", rich_help_panel=DATA
        ),
    ] = 256,
    min_joints: Annotated[
        int, typer.Option(help="Leave out people with fewer labelled joints.", rich_help_panel=DATA)
    ] = 4,
    min_box: Annotated[
        float,
        typer.Option(
            help="Leave out people whose bounding box is smaller than this, in pixels.", rich_help_panel=DATA
        ),
    ] = 40.0,
    init: Annotated[
        Path | None,
        typer.Option(
            help="Start from this network: small, base, or a checkpoint file. Its first stacks are used; missing ones start "
            "as copies of its last.",
            rich_help_panel=BEGIN,
        ),
    ] = None,
    init_share: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Also write a checkpoint that averages the learned weights with this share of --init.",
            rich_help_panel=BEGIN,
        ),
    ] = 0.0,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            help="Also learn from the heatmaps of this checkpoint: joints without labels, and joints where it agrees with "
            "the label. Can be repeated; they take turns.",
            rich_help_panel=LEARN,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue from the last checkpoint in --out.", rich_help_panel=BEGIN),
    ] = False,
    arch: Annotated[
        str,
        typer.Option(help=f"Architecture: {', '.join(NETWORKS)}.", rich_help_panel=NET),
    ] = "hourglass",
    stacks: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, max=8, help="hourglass: number of stacks. Default: 2.", rich_help_panel=NET),
    ] = None,
    features: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=8, help="hourglass: number of channels. Default: as in --init, or 128.", rich_help_panel=NET
        ),
    ] = None,
    stem: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="hourglass: lite_hrnet puts a Lite-HRNet before the first stack. Default: as in --init, or the stem of the "
            "paper.",
            rich_help_panel=NET,
        ),
    ] = None,
    block: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="hourglass: residual (default), gated (Bulat 2020) or pyramid (Yang 2017).",
            rich_help_panel=NET,
        ),
    ] = None,
    residuals: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1, help="hourglass: number of residual modules in a row. Default: 1.", rich_help_panel=NET
        ),
    ] = None,
    depth: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            help="simple_baseline, cpn, deeppose: depth of the ResNet. Default: 50.", rich_help_panel=NET
        ),
    ] = None,
    width: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=4, help="hrnet: width. 32 (default) or 48 in the paper.", rich_help_panel=NET),
    ] = None,
    stages: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1, max=8, help="deeppose, cpm: number of stages. Default: 3 and 6.", rich_help_panel=NET
        ),
    ] = None,
    backbone: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="deeppose: alexnet (default) or resnet.", rich_help_panel=NET),
    ] = None,
    crops: Annotated[
        int, typer.Option(min=1, help="Length of the training: number of crops.", rich_help_panel=LEARN)
    ] = 100_000,
    batch: Annotated[int, typer.Option(min=1, help="Batch size.", rich_help_panel=LEARN)] = 32,
    rate: Annotated[
        float | None,
        typer.Option(help="Highest learning rate. Default: set by --recipe.", rich_help_panel=LEARN),
    ] = None,
    stem_rate: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Learning rate of --stem, as a share of --rate. 0 freezes it.",
            rich_help_panel=LEARN,
        ),
    ] = 0.2,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="adamw, or muon (learns more from the same crops; best with --batch 16). Default: set by --recipe.",
            rich_help_panel=LEARN,
        ),
    ] = None,
    loss: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="cross-entropy or mse. Default: set by --recipe.", rich_help_panel=LEARN),
    ] = None,
    supervise: Annotated[
        str,
        typer.Option(
            help="Where the loss applies. all: after every stack. inside: also within each hourglass. last: only after the last stack.",
            rich_help_panel=LEARN,
        ),
    ] = "all",
    recipe: Annotated[
        str,
        typer.Option(
            help="Training settings. default: the same for all networks. paper: those of the network's paper.",
            rich_help_panel=LEARN,
        ),
    ] = "default",
    validate_every: Annotated[
        int, typer.Option(min=1, help="Number of crops between two validations.", rich_help_panel=LEARN)
    ] = 10_000,
    patience: Annotated[
        int,
        typer.Option(
            help="Stop after N validations without a better score. 0: never.", rich_help_panel=LEARN
        ),
    ] = 0,
    input_size: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Size of the crops in pixels, or HEIGHTxWIDTH. For hourglass: multiples of 64. Default: that of the "
            "hourglass in --init, or 192. With --recipe paper or a Lite-HRNet: that of the paper.",
            rich_help_panel=CROPS,
        ),
    ] = None,
    resize_schedule: Annotated[
        str | None,
        typer.Option(
            help="Train on small crops first: SIZE:CROPS,SIZE:CROPS, such as 128:50000,192:20000.",
            rich_help_panel=CROPS,
        ),
    ] = None,
    distort: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Strength of the augmentation: 1 as in --recipe, 0 none.",
            rich_help_panel=CROPS,
        ),
    ] = 1.0,
    device: o.Device = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="Number format of the training: auto (the faster one), float32, bfloat16 or float16.",
            rich_help_panel=o.ADVANCED,
        ),
    ] = "auto",
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Random seed. Default: 0, or with --init its seed plus 1.",
            rich_help_panel=o.ADVANCED,
        ),
    ] = None,
    quiet: o.Quiet = False,
) -> None:
    """Train a keypoint network.

    [bold]Examples[/bold]

      posecli train --data coco:train.json --init small -o mine
      posecli train --data coco:train.json --resize-schedule 128:8000,192:4000 -o a
      posecli train --data coco:train.json --arch hrnet --out hrnet
      posecli train --data lsp:lsp --data mpii:mpii --skeleton mpii16 --out paper
      torchrun --nproc-per-node 2 -m posecli train --data coco:train.json -o two

    [bold]Figure 8 of the hourglass paper (Newell 2016)[/bold]: where the loss applies, and what stacking gives

    Add to each line: --data mpii:mpii --skeleton mpii16 --recipe paper

      posecli train --out hg          --stacks 1 --residuals 8 --supervise last
      posecli train --out hg-int      --stacks 1 --residuals 8 --supervise inside
      posecli train --out stacked     --stacks 8 --supervise last
      posecli train --out stacked-int --stacks 8
    """  # fmt: skip
    from dataclasses import replace

    import torch

    from posecli.engines.devices import pick_device
    from posecli.models.weights import find_model
    from posecli.skeletons import BODY19, find_skeleton
    from posecli.training.config import TrainConfig
    from posecli.training.recipes import RECIPES, with_muon
    from posecli.training.report import check_new_run

    init = init and find_model(str(init))
    feet = None
    if arch == "hourglass":
        stem, features, skeleton, feet, size = _options_of_init(init, stem, features, skeleton)
        if recipe != "paper":
            input_size = input_size or size
    bones = find_skeleton(skeleton or BODY19.name)
    _check_choices(arch, recipe, optimizer, loss, supervise, precision, stem, block, backbone)
    if depth not in (None, 50, 101, 152) or (arch == "cpn" and depth == 152):
        raise typer.BadParameter(f"--depth {depth} does not exist for {arch}.")
    if init_share and init is None:
        raise typer.BadParameter("--init-share needs --init, the weights to average with.")
    asked = {
        "stacks": stacks, "features": features, "stem": stem, "block": block, "residuals": residuals, "depth": depth,
        "backbone": backbone, "stages": stages, "width": width,
        "feet": feet, "inner_score": True if supervise == "inside" else None,
        # The published Lite-HRNet file has its batch norms folded into the convolutions.
        "norm": False if arch == "lite_hrnet" and init is not None else None,
        "torso": [bones.joints.index(j) for j in TORSO] if arch == "deeppose" else None,
    }  # fmt: skip
    config = TrainConfig(
        architecture=arch,
        arguments=arguments_of(arch, asked),
        skeleton=bones.name,
        sizes=_sizes(arch, stem, recipe, input_size, resize_schedule, crops),
        batch=batch,
        supervise="last" if supervise == "last" else "all",
        weights=tuple(_weight(w) for w in weight or []),
        precision=precision,  # type: ignore[arg-type]
        seed=_seed(init, out if resume else None) if seed is None else seed,
        validate_every=validate_every,
        patience=patience,
    )
    config = RECIPES[recipe](config)
    if optimizer is not None:
        config = with_muon(config) if optimizer == "muon" else replace(config, optimizer="adamw")
    config = replace(config, augmentation=config.augmentation.scaled(distort))
    changes: dict[str, Any] = {"rate": rate, "loss": loss, "stem_rate": stem_rate if stem else None}
    config = replace(config, **{k: v for k, v in changes.items() if v is not None})
    check_new_run(out, resume)
    chosen = torch.device(pick_device(device))
    store = _store(data, config, images, cache, patch_pixels, min_joints, min_box, quiet)
    _train(config, store, out, chosen, init, init_share, teacher or [], resume, quiet)


def _options_of_init(
    init: Path | None, stem: str | None, features: int | None, skeleton: str | None
) -> tuple[str | None, int | None, str | None, int | None, str | None]:
    """(stem, features, skeleton, feet, input size), with missing options taken from the hourglass in --init."""
    from posecli.models.checkpoints import read_spec

    if init is None or init.suffix != ".safetensors":
        return stem, features, skeleton, None, None
    begun = read_spec(init)
    if begun.architecture != "hourglass":
        return stem, features, skeleton, None, None
    own = begun.arguments.get("stem")
    stem = stem or (own if isinstance(own, str) else None)
    skeleton = skeleton or begun.skeleton
    feet = begun.arguments.get("feet") if skeleton == begun.skeleton else None
    height, width = begun.input_size
    return stem, features or begun.arguments.get("features"), skeleton, feet, f"{height}x{width}"


def _check_choices(
    arch: str, recipe: str, optimizer: str | None, loss: str | None, supervise: str, precision: str, stem: str | None,
    block: str | None, backbone: str | None,
) -> None:  # fmt: skip
    from posecli.models.blocks import BLOCKS
    from posecli.training.recipes import RECIPES

    choices: tuple[tuple[str, str | None, Collection[str]], ...] = (
        ("--arch", arch, NETWORKS),
        ("--recipe", recipe, RECIPES),
        ("--optimizer", optimizer, ("adamw", "muon")),
        ("--loss", loss, ("cross-entropy", "mse")),
        ("--supervise", supervise, ("all", "inside", "last")),
        ("--precision", precision, ("auto", "float32", "bfloat16", "float16")),
        ("--stem", stem, ("lite_hrnet",)),
        ("--block", block, BLOCKS),
        ("--backbone", backbone, ("alexnet", "resnet")),
    )
    for name, value, allowed in choices:
        if value is not None and value not in allowed:
            raise typer.BadParameter(f"{name} is one of {', '.join(allowed)}.")


def _sizes(
    arch: str, stem: str | None, recipe: str, size: str | None, schedule: str | None, crops: int
) -> tuple[tuple[tuple[int, int], int], ...]:
    """The resize schedule: ((height, width) of the crops, number of crops), ..."""
    from posecli.training.recipes import DEFAULT_SIZE, parse_size, parse_sizes

    if schedule:
        return parse_sizes(schedule, arch)
    if size:
        return ((parse_size(size, arch), crops),)
    own = recipe == "paper" or "lite_hrnet" in (arch, stem)
    return ((NETWORKS[stem or arch].paper_size if own else DEFAULT_SIZE, crops),)


def _train(
    config: TrainConfig, store: PatchStore, out: Path, device: torch.device, init: Path | None, init_share: float,
    teachers: list[Path], resume: bool, quiet: bool,
) -> None:  # fmt: skip
    """Train with a live view, then calibrate. Prints the paths of the checkpoints."""
    from posecli.cli.train_view import TrainView
    from posecli.engines.load import load_estimator
    from posecli.training import loop
    from posecli.training.average import average
    from posecli.training.calibrate import calibrate
    from posecli.training.report import plot_run, start_run
    from posecli.training.teacher import Teachers

    # On a GPU no other engine is faster than torch, and searching for one takes time.
    engine = "auto" if device.type == "cpu" else "torch"
    asked = [load_estimator(str(t), device, backend=engine) for t in teachers]
    taught = Teachers(asked, config) if asked else None
    out.mkdir(parents=True, exist_ok=True)
    if os.environ.get("RANK", "0") != "0":  # with torchrun, only rank 0 prints and writes files
        loop.train(config, store, out, device=device, init=init, teachers=taught, resume=resume)
        return
    start_run(out, config, store, init, teachers)
    with TrainView(config, quiet) as view, _tensorboard(out) as board:

        def report(progress: loop.Progress) -> None:
            view(progress)
            board(progress)

        best = loop.train(
            config, store, out, device=device, init=init, teachers=taught, resume=resume, report=report
        )
    plot_run(out)
    if store.people.dev.any():
        calibrate(best, store, device)
    print(best)
    if init is not None and init_share:
        print(average(best, init, init_share, store, device))


def _seed(init: Path | None, resumed: Path | None) -> int:
    """The default seed. A resumed training keeps its seed. A training from --init adds 1 to the seed of --init.

    With the same seed it would see the same first crops in the same order again.
    """
    from posecli.models.checkpoints import read_spec

    if resumed is not None and (resumed / "last.safetensors").exists():
        return int(read_spec(resumed / "last.safetensors").training.get("seed", 0))
    return 0 if init is None else int(read_spec(init).training.get("seed", 0)) + 1


def _tensorboard(out: Path) -> Any:
    """The TensorBoard logger, or a replacement that does nothing if TensorBoard is not installed."""
    from posecli.cli import console
    from posecli.training.report import TensorBoard

    try:
        return TensorBoard(out)
    except ImportError:
        console.tell('No TensorBoard logs: pip install "posecli[train]" installs it.')
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
    """The people for the training, cut out of their photos or read from the cache."""
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
        raise PoseError(f"No person in the data has {min_joints} labelled joints and {min_box:.0f} pixels.")
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
