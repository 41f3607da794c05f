"""How many people are in each second of a clip: python examples/count_people.py clip.mp4"""

import sys
from collections import defaultdict

import posecli

seen: dict[int, set[int]] = defaultdict(set)
for poses in posecli.run(sys.argv[1], device="cpu"):
    second = int(poses.frame.time)
    seen[second] |= {person.track for person in poses.people if person.track is not None}

for second, people in seen.items():
    print(f"{second:3d} s: {len(people)} people")
