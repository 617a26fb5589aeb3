"""The sign and the word of each event type in lines for people: Tetragon's where it has one, else of its kind."""

SIGNS = {
    "process.exec": ("🚀", "process"),
    "process.fork": ("🌱", "fork"),
    "process.exit": ("💥", "exit"),
    "process.exec_failed": ("🚫", "process"),
    "file.open": ("📬", "open"),
    "file.write": ("📝", "write"),
    "file.truncate": ("📝", "truncate"),
    "file.mmap": ("📝", "mmap"),
    "filesystem.*": ("💾", ""),
    "file.*": ("📁", ""),
    "network.close": ("🧹", "close"),
    "network.datagram": ("📤", "datagram"),
    "network.*": ("🔌", ""),
    "privilege.*": ("🔑", ""),
    "namespace.*": ("🔧", ""),
    "kernel.bpf_*": ("🐝", ""),
    "kernel.perf_event_open": ("🐝", "perf"),
    "kernel.settime": ("⏰", "settime"),
    "kernel.*": ("🐧", ""),
}
"""By name or glob, the first that matches; no word: the last part of the type's name."""
