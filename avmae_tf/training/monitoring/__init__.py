"""What TensorBoard shows of a run, off the path of its steps; `monitors` lists all of it."""
