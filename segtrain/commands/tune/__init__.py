"""Search: trainings of one experiment with other values, each in a process of its own."""
