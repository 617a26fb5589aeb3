"""A YAML text becomes a tree: strictly, with the environment's values in it, and errors that say where.

`config.parse` reads the settings through this. What the tree must look like is not known here.
"""

import os
import re
from collections import Counter
from collections.abc import Hashable
from typing import Any

import yaml

from exporter.errors import ConfigError
from exporter.explain import place


def read(text: str, *, where: str) -> object:
    """The tree in `text`, `${NAME}` in a value replaced by the environment's NAME; `where` names the text in errors.

    Raises:
        ConfigError: not YAML, a key twice, an alias that holds itself, a variable that is not set.
    """
    try:
        return _expand(_Loader(text).get_single_data(), where)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"is not YAML: {error.problem}", where=f"{where}{line}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"is not YAML: {' '.join(str(error).split())}", where=where) from error
    except RecursionError as error:
        raise ConfigError("is nested too deeply, or an alias in it holds itself", where=where) from error


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice: YAML would take the last one and say nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping; merged keys (`<<`) may be overridden, as they are meant to be."""
        keys = Counter((key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, _ in reversed(node.value):
            if isinstance(key, yaml.ScalarNode) and keys[key.tag, key.value] > 1:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} is there twice", problem_mark=key.start_mark)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """A value; PyYAML lets Python's own errors through where `2024-13-45` looks like a date and is none."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            value, kind = getattr(node, "value", ""), node.tag.rpartition(":")[2]
            problem = f"{value} is no {kind}; put text between quotes"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from error


def _expand(node: object, where: str, at: str = "") -> object:
    """Replace `${NAME}` in every text value by the environment's."""
    if isinstance(node, dict):
        return {key: _expand(value, where, f"{at}.{key}") for key, value in node.items()}
    if isinstance(node, list):
        return [_expand(value, where, f"{at}[{index}]") for index, value in enumerate(node)]
    if isinstance(node, str):
        return re.sub(r"\$\{(\w+)\}", lambda match: _variable(match[1], place(where, at)), node)
    return node


def _variable(name: str, where: str) -> str:
    if name not in os.environ:
        hint = f"set it or write the value for ${{{name}}}"
        raise ConfigError(f"the environment has no {name}", where=where, hint=hint)
    return os.environ[name]
