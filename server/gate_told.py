"""The challenger's proof for whoever looks at it: where very many parts were looked at, as it was last weighed."""

from __future__ import annotations

from sqlmodel import Session, col, func, select

from qc.records import Decision
from server import gate, gate_bounds
from server.context import Context
from server.gate import Proof
from server.rivals import Rivals
from server.watch_records import ShadowVerdict
from server.where import Where


def proof_told(context: Context, session: Session, where: Where) -> Proof:
    """`gate.proof`, which reads all that people said and drew; of very many parts the last one, while it is weighed
    anew beside the requests (`server.kept_counts`).

    Raises:
        Conflict: there is no challenger.
    """
    pair = gate.need(session, where)
    number = _up_to(session, pair, context.counts.few + 1)
    if number <= context.counts.few:
        return gate.proof(context, session, where)
    last_seen = select(func.max(ShadowVerdict.inspection_id)).where(*gate_bounds.seen_by_both(pair))
    rows = session.exec(last_seen).one(), session.exec(select(func.max(Decision.id))).one()
    of = ("proof", where, pair.champion.id, pair.challenger.id)
    return context.counts.told(of, rows, number, context.database, lambda beside: gate.proof(context, beside, where))


def _up_to(session: Session, pair: Rivals, most: int) -> int:
    """How many parts both looked at, counted no further than that."""
    some = select(col(ShadowVerdict.inspection_id)).where(*gate_bounds.seen_by_both(pair)).limit(most).subquery()
    return int(session.exec(select(func.count()).select_from(some)).one())
