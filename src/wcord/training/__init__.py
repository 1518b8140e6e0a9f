"""Configuration of a run, its folder, its loop, one step of it, and its checkpoints."""
