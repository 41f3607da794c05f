"""The left knee's angle over time as CSV: python examples/knee_angle.py clip.mp4"""

import sys

import numpy as np

import posecli

JOINTS = posecli.SKELETONS["body19"].joints
HIP, KNEE, ANKLE = (JOINTS.index(f"left_{name}") for name in ("hip", "knee", "ankle"))

print("time,track,angle_deg,confidence")
for poses in posecli.run(sys.argv[1], device="cpu"):
    for person in poses.people:
        hip, knee, ankle = person.keypoints[[HIP, KNEE, ANKLE], :2]
        a, b = hip - knee, ankle - knee
        angle = np.degrees(np.arccos(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9), -1, 1)))
        sure = person.keypoints[[HIP, KNEE, ANKLE], 2].min()
        print(f"{float(poses.frame.time):.6f},{person.track},{angle:.1f},{sure:.2f}")
