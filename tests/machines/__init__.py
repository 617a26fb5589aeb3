"""Machines with Debian's kernels, under QEMU, and the kernel tests that run there."""
