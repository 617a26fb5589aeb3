"""Sink: Payloads leave the node. One bounded queue and one thread a sink."""
