"""Tasks, loops, checkpoints, warm start and export: the same code from the command and in TFX."""
