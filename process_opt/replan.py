"""What later readings will show in time to be corrected: the difference between a plan carried out
blindly and one renewed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from process_opt.belief import Belief
from process_opt.model import ProcessModel

Floats = NDArray[np.float64]

TRUST = 0.8
"""Share of what could be corrected that is counted on: the parameters are known only so well, corrections cost
something, and not every reading comes."""
RENEWALS = 6
"""How often at most people are expected to ask again."""


def corrected_later(
    model: ProcessModel, belief: Belief, carry: Floats, after: Floats, gain: Floats, ran: Floats, total: Floats
) -> tuple[Floats, Floats]:
    """What re-planning after later readings takes off the covariance of the deciding readings, and what of the rest
    they will show too late to be corrected, but in time to scrap the part: `m x m x D` each.

    What was read since the last renewal moves the expected end by `response x (covariance without - with it)`; the
    settings still free then can take that back where they reach, softly limited by their range. The states are
    followed in every draw by itself, because the scale of what is not read between two looks differs from draw to
    draw; the settings are the same in all draws, chosen by the average response.

    Args:
        carry, after: of each step from `belief.at` on, `T x d x d x D` and the response of the end to the state after
            it, `T x m x d x D`.
        gain: `m x q x D`, response to each remaining setting.
        ran: `T`, which of the steps are run.
        total: `m x m x D`, covariance without re-planning, which sets how far the settings must reach.
    """
    t, at = model.tables, belief.at
    first = len(t.step_of) - gain.shape[1]
    known = np.array([model.identified.get(name, False) for name in model.process.settings], dtype=bool)[first:]
    known &= belief.free[first:]
    low, high = _reach(model)
    pulls = gain.mean(axis=2) * (np.minimum(-low, high)[first:] * known)
    each = np.zeros((len(ran), len(pulls), len(pulls)))
    np.add.at(each, t.step_of[first:] - at, np.einsum("rq,sq->qrs", pulls, pulls))
    reach = each[::-1].cumsum(axis=0)[::-1] - each  # of the steps that come after
    middle, cov, blind = total.mean(axis=2), belief.cov, belief.cov
    out, stays = np.zeros_like(total), np.zeros_like(total)
    eye = np.eye(len(middle))
    last = int(np.flatnonzero(ran)[-1]) if ran.any() else 0
    looks = [k for k in np.flatnonzero(ran) if model.layout.reads[at + k]]
    to_scrap = max((k for k in looks if k < last), default=-1)
    apart = -(-len(looks) // RENEWALS)
    renewals = set(looks[apart - 1 :: apart]) if looks else set()
    for k in np.flatnonzero(ran):
        a, noise = carry[k], model.motions[at + k].noise[:, :, None]
        cov = np.einsum("iln,jln->ijn", np.einsum("ijn,jln->iln", a, cov), a) + noise
        blind = np.einsum("iln,jln->ijn", np.einsum("ijn,jln->iln", a, blind), a) + noise
        for place, c in model.layout.reads[at + k]:
            column = cov[:, c]
            cov = cov - column[:, None] * column[None, :] / (cov[c, c] + model.gauge[place])
        corrects = k in renewals and bool(reach[k].any())
        if not corrects and k != to_scrap:
            continue
        shown = np.einsum("rjn,sjn->rsn", np.einsum("rin,ijn->rjn", after[k], blind - cov), after[k])
        left = eye - TRUST * reach[k] @ np.linalg.inv(reach[k] + middle + 1e-9 * eye) if corrects else eye
        kept = np.einsum("rqn,sq->rsn", np.einsum("ri,iqn->rqn", left, shown), left)
        out += shown - kept
        if k <= to_scrap:
            stays += kept
        blind = cov
    return _even(out), _even(stays)


def _even(a: Floats) -> Floats:
    return np.asarray((a + a.transpose(1, 0, 2)) / 2)


def _reach(model: ProcessModel) -> tuple[Floats, Floats]:
    s = [x for _, x in model.process.settings.values()]
    low = (np.array([x.low for x in s]) - model.layout.nominal) / model.layout.stretch
    high = (np.array([x.high for x in s]) - model.layout.nominal) / model.layout.stretch
    return low, high
