"""Whether anything is missing: shipped records, as receivers wrote them, held against their own numbers and hashes.

`podwitness verify` calls `verify`. Lines come from `sources.py`, records from `encode/reading.py`; each goes to its
`Stream`, whose `Finding` is told by `report.py`. The input may be of any size and in any order.
"""

from exporter.verify.checking import Verdict, verify

__all__ = ["Verdict", "verify"]
