"""Numbers that several files share. No imports: the command line reads it before anything else."""

# Where recall and precision of the shipped detector are equal on the dev part of train.json (not on val.json).
BOX_CONFIDENCE = 0.18

# Joints said with less are drawn hollow: they are wrong more often than right, or not in the picture at all.
KEYPOINT_CONFIDENCE = 0.4

# What a killed run has to do again at most. Nothing that is worked on together crosses it.
SEGMENT_FRAMES = 250
