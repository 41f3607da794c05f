"""posecli eval"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from posecli.cli import options as o
from posecli.defaults import BOX_CONFIDENCE


def evaluate(
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            help="Labelled people as KIND:PATH. KIND is coco, lsp, lspet, mpii or flic. Can be repeated; each is scored separately.",
            rich_help_panel=o.DATA,
        ),
    ],
    model: o.Model = None,
    detector: o.DetectorName = None,
    boxes: Annotated[
        str,
        typer.Option(
            help="given: the labelled bounding boxes. detector: the boxes that --detector finds.",
            rich_help_panel=o.DATA,
        ),
    ] = "given",
    images: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder of the photos. Default: next to the label file.", rich_help_panel=o.DATA),
    ] = None,
    photos: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1,
            help="Score only N photos, for a quick look. They are always the same ones.",
            rich_help_panel=o.DATA,
        ),
    ] = None,
    dev: Annotated[
        bool,
        typer.Option(
            "--dev",
            help="Score only the dev photos: 5 % of a training set, kept out of training.",
            rich_help_panel=o.DATA,
        ),
    ] = False,
    flip_test: o.FlipTest = False,
    decode: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="For experiments: how joints are read from heatmaps: quarter, dark, soft-argmax or second. Default: as the checkpoint "
            "says.",
            rich_help_panel=o.NETWORK,
        ),
    ] = None,
    box_confidence: o.BoxConfidence = BOX_CONFIDENCE,
    predictions: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Score these COCO results instead of running a model.", rich_help_panel=o.DATA),
    ] = None,
    save_predictions: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write the predictions as COCO results.", rich_help_panel=o.OUTPUT),
    ] = None,
    json: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write the scores to this file (- for stdout).", rich_help_panel=o.OUTPUT),
    ] = None,
    report: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="Write plots and a page of the worst cases to this folder.", rich_help_panel=o.OUTPUT
        ),
    ] = None,
    per_stack: Annotated[
        bool,
        typer.Option(
            "--per-stack",
            help="Score the heatmaps of every stack, not only of the last.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = False,
    device: o.Device = "auto",
    backend: o.Backend = "torch",  # so that scores are the same on every machine
    batch_size: o.BatchSize = 16,
    quiet: o.Quiet = False,
) -> None:
    """Score a model on labelled people, or a detector on labelled photos.

    [bold]Examples[/bold]

      posecli eval --model small --data coco:people/val.json --flip-test
      posecli eval --model small --data coco:people/val.json --report scores
      posecli eval --model small --data coco:people/train.json --photos 500
      posecli eval --detector person --data coco:people/val.json
      posecli eval --data coco:val.json --predictions theirs.json
    """
    import numpy as np

    from posecli.cli import console
    from posecli.data.people import joined
    from posecli.data.read import read_people
    from posecli.engines.devices import pick_device
    from posecli.engines.load import load_detector, load_estimator
    from posecli.errors import PoseError
    from posecli.evaluation import keypoints as evaluation
    from posecli.evaluation.detector import score_detector
    from posecli.geometry.heatmaps import DECODERS

    if boxes not in ("given", "detector"):
        raise typer.BadParameter("--boxes must be given or detector.")
    if decode is not None and decode not in DECODERS:
        raise typer.BadParameter(f"--decode is one of {', '.join(DECODERS)}.")
    chosen = pick_device(device)
    if report is not None and report.exists() and not report.is_dir():
        raise typer.BadParameter(f"--report {report} is a file; name a folder.")
    files = [Path(d.partition(":")[2]) for d in data]
    document: dict[str, Any]
    if detector is not None and model is None and boxes == "given" and predictions is None:
        finder = load_detector(detector, chosen, confidence=box_confidence, backend=backend)
        with console.steps("scoring", "photos", quiet) as step:
            document = score_detector(files[0], finder, images, step, photos, dev)
        _write(document, json)
        _show_detector(document)
        return
    people = joined([read_people(d, images) for d in data])
    if dev:
        people = people.take(np.flatnonzero(people.dev))
        if not len(people):
            raise PoseError(f"{data[0]} has no dev photos. Leave out --dev.")
    chosen_photos = evaluation.drawn(people.image_ids.tolist(), photos)
    people = people.take(np.flatnonzero(np.isin(people.image_ids, list(chosen_photos))))
    for warning in people.warnings:
        console.tell(f"Warning: {warning}", quiet)
    by_stack: dict[str, Any] = {}
    if predictions is not None:
        predicted = evaluation.read_predictions(predictions, people)
        for warning in predicted.warnings:
            console.tell(f"Warning: {warning}", quiet)
    else:
        estimator = load_estimator(model, chosen, flip_test=flip_test, batch_size=batch_size, backend=backend)
        estimator.decoder = decode
        finder_or_none = (
            load_detector(detector, chosen, confidence=box_confidence, backend=backend)
            if boxes == "detector"
            else None
        )
        names = estimator.stack_names()
        for stack, name in enumerate(names[:-1] if per_stack else ()):
            estimator.stack = stack
            with console.steps("scoring", "photos", quiet) as step:
                found = evaluation.predict(people, estimator, finder_or_none, step)
            by_stack[name] = evaluation.pck_by_source(people, found)
        estimator.stack = -1
        with console.steps("scoring", "photos", quiet) as step:
            predicted = evaluation.predict(people, estimator, finder_or_none, step)
        if per_stack:
            by_stack[names[-1]] = evaluation.pck_by_source(people, predicted)
    if save_predictions is not None:
        import json as text

        records = [r for records in predicted.everybody.values() for r in records]
        save_predictions.write_text(text.dumps(records), encoding="utf-8")
    document = evaluation.score(people, predicted)
    document["boxes"] = boxes if predictions is None else "of the predictions"
    document["flip_test"] = flip_test
    if by_stack:
        document["stacks"] = by_stack
    _write(document, json)
    _show(document)
    if report is not None:
        from posecli.evaluation.pages import write_pages

        console.tell(f"Plots and the worst cases: {write_pages(report, document, people, predicted)}")


def _write(document: dict[str, Any], path: Path | None) -> None:
    import json

    if path is None:
        return
    text = json.dumps(document, indent=1)
    if str(path) == "-":
        print(text)
    else:
        path.write_text(text + "\n", encoding="utf-8")


def _show(document: dict[str, Any]) -> None:
    from rich.table import Table

    from posecli.cli import console
    from posecli.metrics.angles import SCORED as ANGLES

    parts = {**document["sources"], "overall": document["overall"]}
    table = Table("", *parts, title=f"boxes {document['boxes']}, flip test {document['flip_test']}")
    for column in table.columns[1:]:
        column.justify = "right"
    rows = [
        ("people", "people"),
        ("  with a torso diagonal", "people_with_diagonal"),
        ("PCK@0.2 diagonal", "pck"),
        ("  12 limb joints", "pck_limbs"),
        ("  hidden joints", "pck_hidden"),
        ("  visible joints", "pck_visible"),
        ("PCK@0.2 lsp", "pck_lsp"),
        ("PCK@0.2 bbox", "pck_bbox"),
        ("PCKh@0.5", "pckh"),
        ("AUC 0-0.5", "auc"),
        ("AP", "ap"),
        ("AP50", "ap50"),
        ("AP75", "ap75"),
        ("AP medium", "ap_medium"),
        ("AP large", "ap_large"),
        ("AR", "ar"),
        ("calibration error", "ece"),
        ("  hidden joints", "ece_hidden"),
        ("  visible joints", "ece_visible"),
    ]
    for label, name in rows:
        table.add_row(label, *(_cell(part.get(name)) for part in parts.values()))
    if document["overall"]["mistakes"]:
        table.add_section()
        for kind in list(document["overall"]["mistakes"])[1:]:
            table.add_row(
                f"wrong: {kind}", *(_cell((part["mistakes"] or {}).get(kind)) for part in parts.values())
            )
        for kind in document["overall"]["mistakes"]:
            table.add_row(
                f"confidence if {kind if kind == 'right' else f'wrong: {kind}'}",
                *(_cell(part["mistakes_confidence"].get(kind)) for part in parts.values()),
            )
    table.add_section()
    for angle in ANGLES:
        errors = [(part["angles"] or {}).get(angle) for part in parts.values()]
        if not any(errors):
            continue
        table.add_row(
            f"{angle} angle, error in degrees: median, 95 %",
            *("–" if e is None else f"{e['median']:.1f}, {e['p95']:.1f}" for e in errors),
        )
    for pair in ("ankle", "knee"):
        shares = [part["collapsed"][pair] for part in parts.values()]
        table.add_row(
            f"{pair}s apart, but found on one place",
            *("–" if s is None else f"{100 * s['share']:.1f} % of {s['count']}" for s in shares),
        )
    table.add_section()
    for joint in document["overall"]["per_joint"]:
        table.add_row(joint, *(_cell(part["per_joint"][joint]) for part in parts.values()))
    if "stacks" in document:
        table.add_section()
        for name, scores in document["stacks"].items():
            table.add_row(f"PCK@0.2 diagonal, {name}", *(_cell(scores[part]) for part in parts))
    console.results.print(table)
    console.results.print("Confidence, said and right:")
    said = document["overall"]["reliability"]
    if said:
        line = ", ".join(f"{s:.2f}/{r:.2f}" for s, r in zip(said["stated"], said["right"], strict=True))
        console.results.print("  " + line)


def _show_detector(document: dict[str, Any]) -> None:
    from posecli.cli import console

    confidence = document["confidence"]
    for source, scores in document["all_boxes"].items():
        console.results.print(
            f"{source}: {scores['people']} people over {document['taller_than']:.0f} px in {scores['photos']} photos: "
            f"recall {scores['recall']:.3f}, precision {scores['precision']:.3f} at confidence {confidence}"
        )
        for point in scores["curve"]:
            console.results.print(
                f"  at {point['confidence']:.2f}: recall {point['recall']:.3f}, precision {point['precision']:.3f}"
            )
    for source, scores in document["main_people"].items():
        console.results.print(
            f"{source}: {scores['found']:.3f} of {scores['people']} labelled people found at confidence {confidence}"
        )


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return f"{value['value']:.4f} ({value['low']:.3f}–{value['high']:.3f})"
    return f"{value:.4f}"
