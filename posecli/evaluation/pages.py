"""The report of `posecli eval --report`: plots of the scores, and images of the worst cases."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posecli.data.people import PeopleSet
from posecli.evaluation.keypoints import ALPHA, Predictions, only_placed_feet
from posecli.metrics import pck
from posecli.sources.photos import read_photo
from posecli.types import Array, Image

WORST = 24  # number of people on the page
LEAST_JOINTS = 6  # people with fewer joints that count are left out
TILE = 260  # side of an image in pixels
TRUTH, FOUND, GAP = (80, 220, 80), (60, 60, 240), (200, 200, 200)  # BGR


def write_pages(folder: Path, document: dict[str, Any], people: PeopleSet, predictions: Predictions) -> Path:
    """Write scores.json, curve.png, reliability.png, worst/*.jpg, and index.html, which shows them.

    Returns the path of index.html.
    """
    (folder / "worst").mkdir(parents=True, exist_ok=True)
    (folder / "scores.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    plots = _plots(folder, document)
    cases = []
    for rank, (row, share) in enumerate(worst_people(people, predictions), 1):
        name = f"worst/{rank:02}.jpg"
        picture = case_picture(people, row, predictions.keypoints[row])
        cv2.imwrite(str(folder / name), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
        cases.append((name, f"{people.photos[row].name}, person {people.ids[row]}: {share:.0%} right"))
    page = folder / "index.html"
    page.write_text(_page(document, plots, cases), encoding="utf-8")
    return page


def worst_people(people: PeopleSet, predictions: Predictions) -> list[tuple[int, float]]:
    """(row, share of correct joints) of the people with the largest errors, worst first.

    Errors are in torso sizes and limited to 1, so that a single joint far away does not dominate.
    """
    people = only_placed_feet(people, predictions)
    labelled = people.visible > 0
    sizes = pck.torso_sizes(people.keypoints, labelled, people.joints, "diagonal")
    count = pck.counted(labelled, sizes)
    gaps = np.nan_to_num(pck.distances(predictions.keypoints, people.keypoints), nan=np.inf)
    off = np.where(count, np.minimum(gaps / sizes[:, None], 1.0), 0.0)
    totals = count.sum(axis=1)
    mean = np.where(totals >= LEAST_JOINTS, off.sum(axis=1) / np.maximum(totals, 1), -1.0)
    rows = [int(r) for r in np.argsort(-mean, kind="stable")[:WORST] if mean[r] > 0]
    right = pck.within(gaps, sizes, ALPHA) & count
    return [(r, float(right[r].sum() / totals[r])) for r in rows]


def case_picture(people: PeopleSet, row: int, found: Array) -> Image:
    """The person cut out of the photo: labelled joints green, predicted joints red, and lines between them."""
    photo = read_photo(people.photos[row])
    x1, y1, x2, y2 = people.boxes[row]
    side = 1.4 * max(x2 - x1, y2 - y1, 2.0)
    left, top = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
    scale = TILE / side
    affine = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    tile: Any = cv2.warpAffine(photo, affine, (TILE, TILE), flags=cv2.INTER_LINEAR)
    for k in np.flatnonzero(people.visible[row] > 0):
        truth = affine[:, :2] @ people.keypoints[row, k] + affine[:, 2]
        spots = [tuple(round(float(v)) for v in truth)]
        if np.isfinite(found[k, :2]).all():
            point = np.clip(affine[:, :2] @ found[k, :2] + affine[:, 2], -TILE, 2 * TILE)
            spots.append(tuple(round(float(v)) for v in point))
            cv2.line(tile, spots[0], spots[1], GAP, 1, cv2.LINE_AA)
            cv2.circle(tile, spots[1], 3, FOUND, -1, cv2.LINE_AA)
        cv2.circle(tile, spots[0], 3, TRUTH, -1, cv2.LINE_AA)
    return tile  # type: ignore[no-any-return]


def _plots(folder: Path, document: dict[str, Any]) -> list[str]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = ["curve.png", "reliability.png"]
    parts = {**document["sources"], "overall": document["overall"]}
    figure, axes = plt.subplots(figsize=(5.2, 4), constrained_layout=True)
    for name, part in parts.items():
        if part["auc"] is not None:
            label = f"{name}, area {part['auc']:.3f}"
            axes.plot(part["curve"]["alpha"], part["curve"]["pck"], label=label)
    axes.axvline(ALPHA, color="0.7", lw=1)
    axes.set(xlabel="distance allowed / torso diagonal", ylabel="PCK", xlim=(0, 0.5), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(folder / names[0], dpi=110)
    plt.close(figure)
    figure, axes = plt.subplots(figsize=(4.4, 4), constrained_layout=True)
    axes.plot([0, 1], [0, 1], color="0.7", lw=1)
    for name, part in parts.items():
        if part["reliability"]:
            axes.plot(part["reliability"]["stated"], part["reliability"]["right"], marker=".", label=name)
    axes.set(xlabel="confidence stated", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    figure.savefig(folder / names[1], dpi=110)
    plt.close(figure)
    return names


def _page(document: dict[str, Any], plots: list[str], cases: list[tuple[str, str]]) -> str:
    def figure(name: str, words: str) -> str:
        return f'<figure><img src="{name}" alt=""><figcaption>{html.escape(words)}</figcaption></figure>'

    rows = []
    for name, part in {**document["sources"], "overall": document["overall"]}.items():
        value = part["pck"]
        score = f"{value['value']:.4f} ({value['low']:.3f}–{value['high']:.3f})" if value else "–"
        rows.append(
            f"<tr><td>{html.escape(name)}<td>{part['people']}<td>{part['people_with_diagonal']}<td>{score}"
        )
    return f"""<!doctype html><meta charset="utf-8"><title>posecli eval</title>
<style>body {{ font: 15px/1.4 sans-serif; margin: 2em }} figure {{ display: inline-block; margin: 4px }}
figcaption {{ font-size: 12px; max-width: {TILE}px }} td, th {{ padding: 2px 10px; text-align: left }}</style>
<h1>Scores</h1>
<table><tr><th>source<th>people<th>with a torso diagonal<th>PCK@0.2 (95 % interval){"".join(rows)}</table>
<p>Boxes {html.escape(document["boxes"])}; flip test {document["flip_test"]}. All numbers: scores.json.</p>
{"".join(f'<img src="{name}" alt="">' for name in plots)}
<h1>Farthest off</h1>
<p>Green: labelled. Red: found. Not every label is right: left and right are exchanged in some.</p>
{"".join(figure(*case) for case in cases)}
"""
