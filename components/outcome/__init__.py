"""How a run ended, written by the graph itself."""
