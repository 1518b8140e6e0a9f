"""The loop, its schedule, its checkpoints and its configuration."""
