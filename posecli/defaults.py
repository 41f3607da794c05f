"""Constants that several files share. It imports nothing, because the command line reads it first."""

# At this confidence, recall and precision of the shipped detector are equal on the validation photos (dev, not val.json).
BOX_CONFIDENCE = 0.18

# Joints with a lower confidence are drawn hollow: they are mostly wrong, or not in the picture at all.
KEYPOINT_CONFIDENCE = 0.4

# Frames per segment. An interrupted run repeats at most one segment. No batch goes across a segment.
SEGMENT_FRAMES = 250
