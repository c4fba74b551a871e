"""Videos and annotations to a manifest inside a pipeline."""
