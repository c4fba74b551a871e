"""Videos to records inside a pipeline."""
