"""Where machines come from, one file each."""
