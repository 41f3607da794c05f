"""Generated annotations and results in the COCO format, and their scores by pycocotools."""

import json

import numpy as np
import pytest

from posecli.skeletons import COCO17


def coco_document(seed: int, joints: int = 17):
    """A random COCO ground truth with crowds and unlabelled people, and results for it."""
    rng = np.random.default_rng(seed)
    images = [{"id": i, "width": 640, "height": 480} for i in range(1, 5)]
    annotations, results = [], []
    for image in images:
        for _ in range(rng.integers(0, 5)):
            x, y = rng.uniform(0, 400, 2)
            w, h = rng.uniform(15, 240, 2)
            points = np.zeros((joints, 3))
            kind = rng.random()
            if kind > 0.2:
                points[:, 0], points[:, 1] = rng.uniform(x, x + w, joints), rng.uniform(y, y + h, joints)
                points[:, 2] = rng.integers(0, 3, joints)
                points[points[:, 2] == 0] = 0
            annotations.append({
                "id": len(annotations) + 1, "image_id": image["id"], "category_id": 1, "bbox": [x, y, w, h],
                "area": 0.5 * w * h, "iscrowd": int(kind < 0.1), "keypoints": points.ravel().tolist(),
                "num_keypoints": int((points[:, 2] > 0).sum()),
            })  # fmt: skip
            for _ in range(rng.integers(0, 3)):
                found = points.copy()
                if not points.any():
                    found[:, :2] = rng.uniform([x, y], [x + w, y + h], (joints, 2))
                found[:, :2] += rng.normal(0, 0.03 * np.sqrt(w * h), (joints, 2))
                score = round(float(rng.random()), 1)  # ties
                results.append({"image_id": image["id"], "category_id": 1, "keypoints": found.ravel().tolist(), "score": score})  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.joints), "skeleton": []}
    return {"info": {}, "images": images, "annotations": annotations, "categories": [category]}, results


def theirs(document, results, tmp_path) -> list[float]:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(document))
    truth = coco.COCO(str(path))
    evaluation = cocoeval.COCOeval(truth, truth.loadRes(json.loads(json.dumps(results))), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return list(evaluation.stats)
