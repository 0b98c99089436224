"""Training: a fit that resumes bit by bit, its checkpoints, and the device it runs on."""
