"""One training: what is built, the loop, the run folder."""
