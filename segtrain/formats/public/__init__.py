"""Published datasets: a YAML file each, and modules for what is in no table."""
