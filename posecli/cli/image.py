"""posecli image"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posecli.cli import options as o
from posecli.defaults import BOX_CONFIDENCE

if TYPE_CHECKING:
    from posecli.draw.renderer import Renderer
    from posecli.draw.skeleton import Drawing
    from posecli.engines.estimator import Estimator
    from posecli.pipeline.choices import Choices
    from posecli.types import FramePoses


@o.takes(o.drawing, without=("trails", "trail_seconds"))
def image(
    photos: Annotated[
        list[Path], typer.Argument(metavar="PHOTO", help="Photos (JPEG, PNG, WebP, TIFF, BMP, HEIC).")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for the results. Default: next to each photo.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    show_heatmaps: o.ShowHeatmaps = False,
    heatmap_joints: o.HeatmapJoints = None,
    heatmap_sheet: Annotated[
        bool,
        typer.Option(
            "--heatmap-sheet",
            help="Also write a sheet of all heatmaps of each person: one column per joint, one row per stack.",
            rich_help_panel=o.DRAWING,
        ),
    ] = False,
    box: Annotated[
        str | None,
        typer.Option(
            help="Bounding box of the person: x,y,width,height in pixels, or centre (a person who fills the photo). No detector runs.",
            rich_help_panel=o.PEOPLE,
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json/--no-json", help="Write the joints as JSON.", rich_help_panel=o.OUTPUT)
    ] = True,
    device: o.Device = "auto",
    backend: o.Backend = "auto",
    model: o.Model = None,
    detector: o.DetectorName = None,
    box_confidence: o.BoxConfidence = BOX_CONFIDENCE,
    max_people: o.MaxPeople = None,
    skeleton: o.SkeletonName = None,
    flip_test: o.FlipTest = False,
    batch_size: o.BatchSize = 16,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
    *,
    drawing: Drawing,
) -> None:
    """Annotate photos. Writes PHOTO.pose.jpg and PHOTO.pose.json.

    [bold]Examples[/bold]

      posecli image photo.jpg --show-heatmaps
      posecli image *.jpg --out results
      posecli image portrait.jpg --box centre --heatmap-sheet
    """  # fmt: skip
    from posecli.cli import console
    from posecli.cli.several import error_message
    from posecli.draw.heatmap import find_joints
    from posecli.draw.renderer import Renderer
    from posecli.engines.devices import pick_device
    from posecli.engines.load import load_detector, load_estimator
    from posecli.errors import PoseError
    from posecli.output.names import distinct_stems
    from posecli.pipeline.choices import Choices
    from posecli.pipeline.photo import photo_poses
    from posecli.skeletons import find_skeleton
    from posecli.sources.photos import pages_of

    if out is not None and not out.is_dir():
        raise PoseError(f"There is no folder {out}; make it first.")
    if skeleton is not None:
        find_skeleton(skeleton)
    chosen = pick_device(device)
    plans = [
        _Plan(photo, (out or photo.parent) / stem, json, heatmap_sheet)
        for photo, stem in zip(
            photos, distinct_stems([str(p) for p in photos], together=out is not None), strict=True
        )
    ]
    for plan in plans:
        plan.check(overwrite)
    estimator = load_estimator(model, chosen, flip_test=flip_test, batch_size=batch_size, backend=backend)
    if (show_heatmaps or heatmap_joints or heatmap_sheet) and not estimator.spec.has_maps:
        raise PoseError(f"{estimator.spec.architecture} has no heatmaps to show: it predicts coordinates.")
    finder = None if box else load_detector(detector, chosen, confidence=box_confidence, backend=backend)
    bones = find_skeleton(skeleton or estimator.spec.skeleton)
    if show_heatmaps or heatmap_joints:
        joints = find_joints((heatmap_joints or "all").split(","), estimator.spec.bones)
        drawing = replace(drawing, heatmap_joints=tuple(joints))
    choices = Choices(box_confidence=box_confidence, max_people=max_people, skeleton=skeleton, tracking=False)
    failed = []
    for plan in plans:
        try:
            poses = photo_poses(plan.photo, finder, estimator, choices, box)
            written = plan.write(poses, estimator, Renderer(bones, drawing), choices, model, detector)
        except Exception as error:  # one broken photo must not stop the others
            if len(plans) == 1:
                raise
            failed.append(error_message(error))
            continue
        console.tell(f"{plan.photo}: {len(poses.people)} people -> {', '.join(map(str, written))}", quiet)
        pages = len(pages_of(plan.photo))
        if pages > 1:
            console.tell(
                f"{plan.photo} has {pages} pages; this is the first. `posecli run` takes all.", quiet
            )
    if failed:
        raise PoseError(f"{len(failed)} of {len(plans)} photos failed: {' '.join(failed)}")


class _Plan:
    """The output files of one photo."""

    def __init__(self, photo: Path, base: Path, json: bool, sheet: bool) -> None:
        """base: path of the output files without their endings."""
        self.photo = photo
        self.picture = base.with_name(f"{base.name}.pose.jpg")
        self.json = base.with_name(f"{base.name}.pose.json") if json else None
        self.sheet = base.with_name(f"{base.name}.sheet.png") if sheet else None

    def check(self, overwrite: bool) -> None:
        from posecli.files import check_free

        check_free((self.picture, self.json, self.sheet), overwrite)

    def write(
        self, poses: FramePoses, estimator: Estimator, renderer: Renderer, choices: Choices, model: str | None,
        detector: str | None,
    ) -> list[Path]:  # fmt: skip
        """Write the images and the JSON. Returns the files."""
        from posecli.pipeline.header import photo_document

        sheets = self._sheets(poses, estimator) if self.sheet else []
        picture = renderer.draw(poses)
        written = [self.picture]
        _write_picture(self.picture, picture)
        if self.json is not None:
            text = photo_document(self.photo, poses, model, detector, estimator, renderer.skeleton, choices)
            self.json.write_text(text, encoding="utf-8")
            written.append(self.json)
        for number, sheet in enumerate(sheets, 1):
            path = self.sheet if len(sheets) == 1 else self.sheet.with_stem(f"{self.sheet.stem}-{number}")  # type: ignore[union-attr]
            _write_picture(path, sheet)  # type: ignore[arg-type]
            written.append(path)  # type: ignore[arg-type]
        return written

    def _sheets(self, poses: FramePoses, estimator: Estimator) -> list[Any]:
        from posecli.draw.heatmap import heatmap_sheet
        from posecli.geometry.crops import cut

        return [
            heatmap_sheet(
                cut(poses.frame.image, m.affine, m.crop_size),
                m.maps,
                estimator.spec.bones,
                estimator.stack_names(len(m.maps)),
            )
            for m in poses.heatmaps
        ]


def _write_picture(path: Path, picture: Any) -> None:
    """Write to a temporary file first, so that an interrupted write leaves no partial file."""
    import cv2

    from posecli.errors import PoseError
    from posecli.files import replacing

    ok, data = cv2.imencode(path.suffix, picture)
    if not ok:
        raise PoseError(f"{path} can't be encoded.")
    with replacing(path) as part:
        part.write_bytes(data.tobytes())
