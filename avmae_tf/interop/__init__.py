"""The authors' checkpoints in, and numbers side by side with their model's."""
