"""docs/bus.jpg and docs/sheet.jpg: ultralytics' photo of people at a bus, with skeletons, with heatmaps, and a sheet
of these.

    python scripts/draw_photo.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import ultralytics

from posecli.draw.heatmap import STACK_LABEL
from posecli.skeletons import BODY23

DOCS = Path(__file__).resolve().parents[1] / "docs"

JOINTS = ("nose", "left_shoulder", "left_elbow", "left_wrist", "right_hip", "left_knee", "left_big_toe")
ROWS, WIDTH = slice(240, 1020), 582  # of the photo; of each half of bus.jpg


def main() -> None:
    photo = Path(ultralytics.__file__).parent / "assets" / "bus.jpg"
    halves = []
    with tempfile.TemporaryDirectory() as folder:
        for options in ([], ["--show-heatmaps", "--heatmap-sheet"]):
            command = [sys.executable, "-m", "posecli", "image", str(photo), "--out", folder, "--overwrite"]
            subprocess.run([*command, *options], check=True)
            picture = cv2.imread(f"{folder}/bus.pose.jpg")[ROWS]
            high = round(picture.shape[0] * WIDTH / picture.shape[1])
            halves.append(cv2.resize(picture, (WIDTH, high), interpolation=cv2.INTER_AREA))
        sheet = cv2.imread(f"{folder}/bus.sheet-1.png")
    tiles = np.split(sheet[:, STACK_LABEL:], len(BODY23.joints), axis=1)
    columns = [sheet[:, :STACK_LABEL], *(tiles[BODY23.joints.index(j)] for j in JOINTS)]
    cv2.imwrite(str(DOCS / "bus.jpg"), np.hstack(halves), [cv2.IMWRITE_JPEG_QUALITY, 88])
    cv2.imwrite(str(DOCS / "sheet.jpg"), np.hstack(columns), [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
