"""podwitness: what every process in every pod really did, told to OpenTelemetry and Fluentd.

Start reading at `agent.py`, which knows the order of the stages; `model.py` is the dictionary.
"""

from importlib.metadata import version

__version__ = version("podwitness")
