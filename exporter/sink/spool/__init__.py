"""The spool: what has been read from the kernel and no receiver has yet, on disk. `spool.py` is what others call."""
