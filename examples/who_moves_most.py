"""Who moves the hands most, from a result: python examples/who_moves_most.py clip.pose.json"""

import sys

import posecli

table = posecli.read(sys.argv[1]).to_frame()
wrists = table[table.joint.str.endswith("wrist") & (table.confidence >= 0.4)]
for (track, joint), path in wrists.groupby(["track", "joint"]):
    steps = path[["x", "y"]].diff().pow(2).sum(axis=1).pow(0.5)
    seconds = path.time.max() - path.time.min()
    if seconds > 0:
        print(f"person {track}, {joint}: {steps.sum() / seconds:.0f} px/s over {seconds:.1f} s")
