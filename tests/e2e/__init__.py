"""The whole agent, as a user runs it, between the real kernel and real servers."""
