"""What the project promises of its speed, measured as ratios: `python -m benchmarks [NAME...]`."""
