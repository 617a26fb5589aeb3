"""Numbers shared with the kernel: the structs of an array map, mapped, read and written one member at a time.

What the reader tells the probes (`struct reader`) and what they count (`struct ring_counts`) goes this way. The layout
comes from BTF. Each access is one aligned load or store of the member's own size, so neither side sees half a number.
"""

import mmap

from exporter.source.btf import Types


class Words:
    """The structs of one array map (BPF_F_MMAPABLE), which must fit into a page."""

    def __init__(self, fd: int, types: Types, struct_name: str) -> None:
        """Map the array behind `fd`, whose values are `struct_name`; `fd` may be closed afterwards."""
        self._members = {member.name: member for member in types.members(struct_name)}
        self._stride = (types.size(struct_name) + 7) & ~7  # array_map_alloc() rounds the size of a value up to 8
        self._page = mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._views = {4: memoryview(self._page).cast("I"), 8: memoryview(self._page).cast("Q")}

    def get(self, name: str, at: int = 0) -> int:
        """A member of the struct at index `at`; 0 where programs of another version do not have it."""
        member = self._members.get(name)
        return self._views[member.size][(at * self._stride + member.offset) // member.size] if member else 0

    def set(self, name: str, value: int, at: int = 0) -> None:
        """Write a member, which the struct must have."""
        member = self._members[name]
        self._views[member.size][(at * self._stride + member.offset) // member.size] = value

    def close(self) -> None:
        """Unmap. Safe to call twice."""
        for view in self._views.values():
            view.release()
        self._page.close()
