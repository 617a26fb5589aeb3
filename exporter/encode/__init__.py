"""Encode: Events become Payloads in the bytes of a wire format; pure, no I/O."""
