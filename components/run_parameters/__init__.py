"""What this run does, and where it differs from the pipeline's file."""
