"""Image and mask files to arrays."""
