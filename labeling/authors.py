"""Who drew an annotation, as it stands now.

Label Studio opens a task with the drawing that is there. Whoever presses Update changes it, also where it is somebody
else's, and Label Studio goes on naming the first person (`completed_by`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labeling.studio import Studio


def author(studio: Studio, annotation: Mapping[str, Any]) -> str:
    """E-mail address of whoever drew last; what Label Studio calls the person if it has none, "" for nobody.

    The account of our own token is nobody's hand: what it writes, it writes in the name of `completed_by` (labels made
    in bulk). Who shares that account with us and changes another's drawing is therefore not told apart.

    Args:
        annotation: as Label Studio's API gives it with its task.
    """
    first, last = annotation.get("completed_by"), annotation.get("updated_by")
    number = first.get("id") if isinstance(first, Mapping) else first
    if last is None or last == number or last == studio.call("GET", "api/current-user/whoami")["id"]:
        return _name(first)
    people = studio.call("GET", "api/users/")
    return _name(next((person for person in people if person["id"] == last), last))


def _name(person: object) -> str:
    if isinstance(person, Mapping):
        return str(person.get("email") or person.get("id") or "")
    return "" if person is None else str(person)
