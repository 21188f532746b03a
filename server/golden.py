"""Golden parts: parts of a product whose verdict is known for certain, frozen in versions that never change.

An engineer declares them from inspections. A version's id is a hash over its parts' hashes, and each part's over its
truth and the hashes of its pictures, of which the version keeps copies of its own: what was declared can be proved
years later, and retention does not reach it. Every function takes the session; its caller commits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, delete, select

from qc.errors import Conflict, InvalidInput, NotFound
from qc.ports import BlobStore
from qc.records import Exposure, Inspection, Progress
from qc.verdict import Verdict
from server import audit
from server.audit import canonical
from server.db import Database
from server.golden_records import GoldenLook, GoldenPart, GoldenSet
from server.inspections import exposures_of, get_inspection

MOST = 1000
"""Parts of one version, at most: every model looks at all of them before it serves, and the champion each shift."""

KIND = "golden"


def copy_pictures(database: Database, blobs: BlobStore, product: str, add: Mapping[str, Verdict]) -> None:
    """Make the copies that `declare` needs, before its transaction begins: that takes a while, may wait for an object
    store, and nobody who writes must wait for it. Raises what `declare` raises of a part."""
    with database.read() as session:
        for inspection_id, truth in add.items():
            _part(session, blobs, product, inspection_id, truth)


def declare(
    session: Session,
    blobs: BlobStore,
    product: str,
    *,
    add: Mapping[str, Verdict],
    remove: Collection[str] = (),
    reason: str,
    by: str,
    now: datetime,
) -> GoldenSet:
    """The product's next version: the newest one with some parts more, or another truth, and some fewer.

    Call `copy_pictures` before.

    Args:
        add: inspection -> its truth, `ok` or `ng`.
        remove: inspections that are golden no more.

    Raises:
        NotFound: there is no such inspection.
        InvalidInput: an inspection is of another product, was not judged, or its truth is neither ok nor ng.
        Conflict: nothing would change, its pictures are gone, or the newest version was altered.
    """
    before = newest(session, product)
    parts = {part.inspection_id: part for part in parts_of(session, before)} if before else {}
    content = [(part.inspection_id, part.station, part.truth) for part in parts.values()]
    if unknown := sorted(set(remove) - set(parts)):
        raise NotFound(f"inspection {unknown[0]} is no golden part of {product}")
    fresh = {key: part for key, part in parts.items() if key not in remove}
    for inspection_id, truth in add.items():
        fresh[inspection_id] = _part(session, blobs, product, inspection_id, truth)
    if [(p.inspection_id, p.station, p.truth) for p in fresh.values()] == content:
        raise Conflict(f"the golden parts of {product} are just these already; nothing was changed")
    if len(fresh) > MOST:
        raise InvalidInput(f"a product has at most {MOST} golden parts, not {len(fresh)}")
    return _write(session, product, before, list(fresh.values()), reason=reason, by=by, now=now)


def newest(session: Session, product: str) -> GoldenSet | None:
    """The version in force; None where the product has none."""
    versions = select(GoldenSet).where(GoldenSet.product == product).order_by(col(GoldenSet.number).desc())
    return session.exec(versions.limit(1)).first()


def in_force(session: Session) -> list[GoldenSet]:
    """The version in force of every product that has golden parts."""
    products = sorted(set(session.exec(select(GoldenSet.product))))
    found = [newest(session, product) for product in products]
    return [one for one in found if one is not None and parts_of(session, one)]


def version(session: Session, product: str, number: int | None = None) -> GoldenSet:
    """One version, by default the one in force; raises NotFound."""
    if number is None:
        one = newest(session, product)
    else:
        wanted = select(GoldenSet).where(GoldenSet.product == product, GoldenSet.number == number)
        one = session.exec(wanted).first()
    if one is None:
        which = f"version {number} of its golden parts" if number else "golden parts; declare some by POST /golden"
        raise NotFound(f"{product} has no {which}")
    return one


def parts_of(session: Session, one: GoldenSet) -> list[GoldenPart]:
    """The parts of a version, in their order; erased ones are missing.

    Raises:
        Conflict: the version is not what was declared; it names the place.
    """
    parts = list(
        session.exec(select(GoldenPart).where(GoldenPart.golden_set == one.id).order_by(col(GoldenPart.place)))
    )
    if identity(one.product, one.number, one.leaves) != one.id:
        raise Conflict(f"version {one.number} of the golden parts of {one.product} was altered; restore a backup")
    for part in parts:
        if not 0 <= part.place < len(one.leaves) or leaf(part) != one.leaves[part.place]:
            raise Conflict(
                f"part {part.place} of version {one.number} of the golden parts of {one.product} was altered",
                place=part.place,
            )
    return parts


def identity(product: str, number: int, leaves: Sequence[str]) -> str:
    """The id of a version: `sha256:` over its product, its number and the hashes of its parts."""
    told = canonical({"product": product, "number": number, "parts": list(leaves)})
    return f"sha256:{hashlib.sha256(told.encode()).hexdigest()}"


def leaf(part: GoldenPart) -> str:
    """SHA-256 of what a golden part is: its inspection, station, truth, and pictures. Not of the part's name."""
    told = {
        "inspection": part.inspection_id,
        "station": part.station,
        "truth": part.truth,
        "pictures": [[picture["view"], picture["sha256"]] for picture in part.pictures],
    }
    return hashlib.sha256(canonical(told).encode()).hexdigest()


def last_look(session: Session, one: GoldenSet, model: str, *, policy: str | None = None) -> GoldenLook | None:
    """What a model said of a version when it last looked; with `policy`, only if it was judged by just that file."""
    looks = select(GoldenLook).where(GoldenLook.golden_set == one.id, GoldenLook.model == model)
    if policy is not None:
        looks = looks.where(GoldenLook.policy == policy)
    return session.exec(looks.order_by(col(GoldenLook.id).desc()).limit(1)).first()


def keys_of(session: Session, inspections: Collection[str]) -> list[str]:
    """Keys of the copies of their pictures that no other golden part shows."""
    rows = list(session.exec(select(GoldenPart)))
    mine: set[str] = set()
    others: set[str] = set()
    for part in rows:
        (mine if part.inspection_id in inspections else others).update(str(p["key"]) for p in part.pictures)
    return sorted(mine - others)


def forget(session: Session, inspections: Collection[str], *, by: str, now: datetime) -> None:
    """Erase parts from every version; what was in force gets a successor without them."""
    mine = list(session.exec(select(GoldenPart).where(col(GoldenPart.inspection_id).in_(list(inspections)))))
    for product in sorted({_set_of(session, part).product for part in mine}):
        now_in_force = newest(session, product)
        assert now_in_force is not None
        kept = [p for p in parts_of(session, now_in_force) if p.inspection_id not in inspections]
        if any(part.golden_set == now_in_force.id for part in mine):
            _write(session, product, now_in_force, kept, reason="a part was erased", by=by, now=now)
    session.execute(delete(GoldenPart).where(col(GoldenPart.inspection_id).in_(list(inspections))))


def as_json(session: Session, one: GoldenSet) -> dict[str, Any]:
    """A version in the words of the interface, without its parts."""
    parts = parts_of(session, one)
    return {
        "id": one.id,
        "product": one.product,
        "version": one.number,
        "parts": len(parts),
        "ok": sum(part.truth == Verdict.OK for part in parts),
        "ng": sum(part.truth == Verdict.NG for part in parts),
        "erased": len(one.leaves) - len(parts),
        "reason": one.reason,
        "by": one.by,
        "at": one.at,
    }


def _part(session: Session, blobs: BlobStore, product: str, inspection_id: str, truth: Verdict) -> GoldenPart:
    inspection = get_inspection(session, inspection_id)
    if inspection.product != product:
        raise InvalidInput(f"part {inspection.part} is a {inspection.product}, not a {product}")
    if inspection.progress != Progress.DONE:
        raise InvalidInput(f"part {inspection.part} was not judged, so its pictures may be no good; choose another")
    if truth not in (Verdict.OK, Verdict.NG):
        raise InvalidInput(f"the truth of a golden part is ok or ng, not {truth}")
    return GoldenPart(
        golden_set="",
        place=0,
        inspection_id=inspection_id,
        part=inspection.part,
        station=inspection.station,
        truth=str(truth),
        pictures=[_copy(blobs, inspection, exposure) for exposure in exposures_of(session, inspection_id)],
    )


def _copy(blobs: BlobStore, inspection: Inspection, exposure: Exposure) -> dict[str, Any]:
    """A copy of the camera's bytes of the set's own, once for each picture."""
    key = f"golden/{exposure.sha256[:2]}/{exposure.sha256}"
    if not blobs.exists(key):
        if not exposure.original_key:
            raise Conflict(f"the pictures of part {inspection.part} were kept for their time and are gone")
        data = blobs.get(exposure.original_key)
        if hashlib.sha256(data).hexdigest() != exposure.sha256:
            raise Conflict(
                f"picture {exposure.n} of part {inspection.part} is not what the camera sent; choose another"
            )
        blobs.put(key, data)
    return {"view": exposure.view, "sha256": exposure.sha256, "key": key}


def _write(
    session: Session,
    product: str,
    before: GoldenSet | None,
    parts: Sequence[GoldenPart],
    *,
    reason: str,
    by: str,
    now: datetime,
) -> GoldenSet:
    number = before.number + 1 if before else 1
    leaves = [leaf(part) for part in parts]
    one = GoldenSet(
        id=identity(product, number, leaves),
        product=product,
        number=number,
        leaves=leaves,
        reason=reason,
        by=by,
        at=now,
    )
    session.add(one)
    session.flush()
    for place, part in enumerate(parts):
        told = part.model_dump(exclude={"golden_set", "place"})
        session.add(GoldenPart(golden_set=one.id, place=place, **told))
    body = {"product": product, "version": number, "parts": len(parts), "reason": reason}
    audit.record(session, KIND, one.id, body, by=by, at=now)
    session.flush()
    return one


def _set_of(session: Session, part: GoldenPart) -> GoldenSet:
    one = session.get(GoldenSet, part.golden_set)
    assert one is not None
    return one
