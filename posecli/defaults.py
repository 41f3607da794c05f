"""Numbers that several doors share. No imports: the command line reads it before anything else."""

# Where recall and precision of the shipped detector meet on dev (not on val.json).
BOX_CONFIDENCE = 0.2
