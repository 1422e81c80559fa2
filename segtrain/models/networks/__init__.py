"""Networks that smp lacks, a module each: listed in segtrain.config.networks, described in segtrain.models."""
