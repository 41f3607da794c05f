"""Joints of everybody in a photo, drawn: python examples/one_photo.py photo.jpg out.jpg"""

import sys

import cv2

import posecli

photo = posecli.read_photo(sys.argv[1])
detector, estimator = posecli.load_detector(device="cpu"), posecli.load_estimator(device="cpu")
boxes = detector.find(photo)
[keypoints] = estimator.estimate([photo], [boxes.xyxy])  # (people, joints, 3): x, y, confidence
people = [
    posecli.Person(None, float(score), box, points)
    for score, box, points in zip(boxes.scores, boxes.xyxy, keypoints, strict=True)
]
posecli.draw_people(photo, people, estimator.spec.bones, confidence=0.3)
cv2.imwrite(sys.argv[2], photo)
print(f"{len(people)} people -> {sys.argv[2]}")
