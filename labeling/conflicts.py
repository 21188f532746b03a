"""All that the views of a data set's parts contradict each other about.

Label by label where they can be registered; by presence, class and size where not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labeling.carry import Carried, Pair, carry_part, ways
from labeling.registration import Refusal
from labeling.views import PieceQuestion, contradictions, view_labels
from labeling.visibility import CarriedQuestion, questions
from qc.dataset import DataSet, Sample
from qc.given import read_given


@dataclass(frozen=True, slots=True)
class Conflicts:
    """The questions, and what they rest on."""

    questions: tuple[CarriedQuestion | PieceQuestion, ...]
    """Surest and most harmful first."""
    pairs: tuple[Pair, ...]
    """Every two pictures of a part that were to be registered."""
    carried: tuple[Carried, ...]

    def summary(self) -> str:
        """Which comparison was used, in words."""
        counts = ways(self.pairs)
        refused = counts.pop(None, 0)
        how = ", ".join(f"{n} by {way.value}" for way, n in sorted(counts.items(), key=lambda x: -x[1]) if way)
        text = f"{len(self.pairs)} pairs of views: {how or 'none'} registered"
        if refused:
            text += f"; {refused} cannot be registered, and are compared by presence, class and size only"
        return text


def find_conflicts(
    data: DataSet,
    samples: Sequence[Sample],
    *,
    align: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Conflicts:
    """Ask about labels that other views of the same part put in doubt.

    Args:
        data: where the pictures come from; its `views.yaml` is used where there is one.
        samples: those to compare; unlabelled ones are left out.
        align: False compares presence, class and size only, which takes no time.
        progress: called with the number of parts done and their total.

    Raises:
        InvalidInput: a picture, a mask or `views.yaml` makes no sense.
    """
    labels = view_labels(samples, data.classes)
    unaligned = contradictions(labels)
    if not align:
        return Conflicts(tuple(unaligned), (), ())
    given = read_given(data.root)
    parts: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.mask is not None:
            parts.setdefault(sample.part, []).append(sample)
    several = {part: views for part, views in parts.items() if len(views) > 1}
    pairs, carried = list[Pair](), list[Carried]()
    for done, views in enumerate(several.values(), start=1):
        more, labels_carried = carry_part(views, data.classes, given)
        pairs += more
        carried += labels_carried
        if progress:
            progress(done, len(several))
    lost = {image for pair in pairs if isinstance(pair.answer, Refusal) for image in pair.images}
    fallen_back = [q for q in unaligned if lost & set(q.doubted)]
    both: list[CarriedQuestion | PieceQuestion] = [*questions(carried), *fallen_back]
    both.sort(key=lambda q: -(q.priority if isinstance(q, PieceQuestion) else q.certainty))
    return Conflicts(tuple(both), tuple(pairs), tuple(carried))
