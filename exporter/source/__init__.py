"""Source: bytes of the kernel (or of a recording) become Events. Imports no other stage."""
