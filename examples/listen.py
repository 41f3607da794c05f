"""Where the left wrists are while posecli runs: python examples/listen.py ws://127.0.0.1:8765

Before that: posecli run 0 --send ws://127.0.0.1:8765
"""

import json
import sys

from websockets.sync.client import connect

LEFT_WRIST = 9  # its place among the joints of body19 and coco17

with connect(sys.argv[1]) as posecli:
    for text in posecli:  # until the run is over
        frame = json.loads(text)
        for person in frame["people"]:
            x, y, confidence = person["keypoints"][LEFT_WRIST]
            if x is not None and confidence >= 0.4:
                print(f"{frame['time']:.2f} s: person {person['track']}, left wrist at {x:.0f}, {y:.0f}")
