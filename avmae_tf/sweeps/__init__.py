"""The ablations of the paper as named sweeps: which runs, where they go, what came of them."""
