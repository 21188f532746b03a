"""A verdict comes out again as it was recorded, to the last bit; or what differs is said."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from qc.errors import Conflict, NotFound
from server import judging, registry
from server.reproduce import reproduce

MODEL = "sha256:dark-spots"


@pytest.fixture
def judged(line):
    """A line with a recorded part whose model the registry knows."""
    (line.context.settings.home / "products" / "default.yaml").write_text("product: default\nmm_per_px: 0.1\n")
    told = line.send(line.picture(dark=9, mark=1), line.picture(doubtful=7, mark=2), part="P-1").json()
    with line.context.database.write() as session:
        registry.add(session, model_id=MODEL, folder="models/none", card={}, now=line.context.now())
        session.commit()
    line.part = told["id"]
    return line


def again(line, model=None):
    served = line.context.champion.serving()
    with line.context.database.read() as session:
        home = line.context.settings.home
        return reproduce(session, line.context.blobs, home, lambda folder: model or served, line.part)


def alter(line, statement) -> None:
    with line.context.database.write() as session:
        session.execute(text(statement))
        session.commit()


def test_a_verdict_comes_out_again_to_the_last_bit_after_the_product_file_has_changed(judged):
    (judged.context.settings.home / "products" / "default.yaml").write_text(
        "product: default\ndefault: {ng: never, review: never}\n"
    )
    made = again(judged)
    assert made.differences == []
    assert made.exact
    assert made.same_runtime


class Elsewhere:
    """The same model, computed by something else that rounds differently."""

    runtime = "onnxruntime"

    def __init__(self, model):
        self.model_id, self.classes, self.threshold, self.edge = model.model_id, model.classes, 0.5, 0.5
        self._model = model

    def segment(self, pixels):
        seen = self._model.segment(pixels)
        return type(seen)(seen.log_odds + seen.log_odds.dtype.type(0.01), seen.class_id)


def test_another_runtime_is_named_and_so_is_what_differs(judged):
    made = again(judged, Elsewhere(judged.context.champion.serving()))
    assert not made.same_runtime
    assert "the runtime is onnxruntime" in made.differences[0]
    assert any(told.startswith("the score is") for told in made.differences)
    assert any("defect 0 of image 0" in told for told in made.differences)


def test_an_altered_record_picture_or_file_is_refused(judged):
    with judged.context.database.read() as session:
        from server.inspections import exposures_of, get_inspection

        inspection, (first, _) = get_inspection(session, judged.part), exposures_of(session, judged.part)
    blobs = judged.context.blobs
    kept = blobs.get(first.original_key)
    blobs.put(first.original_key, kept + b"x")
    with pytest.raises(Conflict, match="picture 0 was altered"):
        again(judged)
    blobs.put(first.original_key, kept)
    file = judging.policy_key(inspection.policy)
    text_of_file = blobs.get(file)
    blobs.put(file, b"product: default\n")
    with pytest.raises(Conflict, match="product's file"):
        again(judged)
    blobs.put(file, text_of_file)
    assert again(judged).exact
    alter(judged, "UPDATE inspection SET runtime = 'another'")
    with pytest.raises(Conflict, match="audit trail"):
        again(judged)


def test_what_cannot_be_made_again_says_why(judged):
    alter(judged, "UPDATE exposure SET original_key = ''")
    with pytest.raises(NotFound, match="kept for its time"):
        again(judged)
    judged.send(judged.picture(mark=9), part="P-2")
    failed = judged.send(judged.picture(mark=9), part="P-3").json()  # a frozen camera
    assert failed["progress"] == "failed"
    judged.part = failed["id"]
    with pytest.raises(Conflict, match="not judged by a model"):
        again(judged)
    judged.part = "none"
    with pytest.raises(NotFound):
        again(judged)
