"""YAML that people write, as plain values; what is amiss with it is a YAML error, which callers tell with its place."""

from __future__ import annotations

from typing import Any

import yaml


def parsed(text: str) -> Any:
    """What the text says: mappings, lists, words, numbers, dates; None where it says nothing.

    Raises:
        yaml.YAMLError: it is no YAML; a name stands twice in one mapping, of which one would go unseen; or a value is
            none, such as a date that no calendar has, a number of thousands of digits, brackets without end.
    """
    try:
        return yaml.load(text, Loader=_EachOnce)
    except (ValueError, RecursionError) as error:
        raise yaml.YAMLError(str(error)) from error


class _EachOnce(yaml.SafeLoader):
    """Plain values, and each name of a mapping once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        said = set[str]()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in said:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands there twice", key.start_mark)
            said.add(key.value)
        return dict(super().construct_mapping(node, deep))
