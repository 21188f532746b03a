"""How large effects of a kind usually are: the hierarchy over steps, fitted with Pyro, which sets the prior of each.

Weights of a kind (carry-over between coordinates, effect of a setting, bent and joint effects) come from a Student
distribution around doing nothing whose scale is learnt: shared by the steps of one partner, and the partners' scales
share one of the whole process.

Where several steps lie between two looks only what they do together is known, and each step's own weight is as unsure
as its prior: taken one by one all such weights look like nothing, though together they surely are not. So what each
weight is told apart from the others is worked out under the prior that is being learnt, of all weights jointly, until
the two agree (MacKay 1992, "Bayesian interpolation", eq. 4.9).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from process_opt.climb import inverse, of_inverse
from process_opt.estimate import Estimate

Floats = NDArray[np.float64]

KINDS = ("offset", "keep", "carry", "setting", "bent", "left over", "constant")
"""Left over: what a formula does not explain. Constants of a formula keep the priors that people gave them."""
LEFT_OVER, CONSTANT = KINDS.index("left over"), KINDS.index("constant")
TAILS = 6.0
"""Degrees of freedom of the distribution of weights of a kind."""
CLEAR = 3.0
"""Standard errors from nothing beyond which a weight is not luck."""
SVI_STEPS = 300
SMALLEST = 3e-3
"""Of all scales, standardised."""
ROUNDS = 6
NEAR = 0.2
"""Rounds end when no scale moves by more than a tenth."""


def scales(estimate: Estimate, mean: Floats, covariance: Floats, *, seed: int) -> tuple[Floats, ...]:
    """Prior precision `d x F` of every step's weights, from the estimates of all.

    Args:
        mean: of all weights.
        covariance: as `climb` gives it; the weights' part of it counts.
    """
    kind, partner = _labels(estimate)
    prior = np.concatenate([estimate.prior_mean(k).ravel() for k in range(len(estimate.motions))])
    penalty = np.concatenate([p.ravel() for p in estimate.penalty])
    free = kind != CONSTANT
    value, told = _told_of_each(mean - prior, covariance[: mean.size, : mean.size], penalty, kind, partner)
    tau = _svi(value[free], 1 / np.sqrt(told[free]), kind[free], partner[free], seed)
    precision = 1 / np.maximum(tau[np.minimum(kind, len(tau) - 1), partner], SMALLEST) ** 2
    sure = np.maximum(value**2 - (CLEAR / np.sqrt(told)) ** 2, 0.0)
    clear = sure > 0  # as the Student distribution has it: a weight that is clearly far out is drawn in less
    precision[clear] = np.minimum(precision, (TAILS + 1) / (TAILS / precision + sure))[clear]
    precision[kind == 0] = np.minimum(precision[kind == 0], 4.0)
    precision[kind == CONSTANT] = penalty[kind == CONSTANT]
    return tuple(p[:, :, 0] for p in estimate.split(precision[:, None]))


def _told_of_each(
    off: Floats, covariance: Floats, penalty: Floats, kind: NDArray[np.int64], partner: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """What each weight's distance from nothing is without its own prior, and how precisely that is known, where the
    others have the scales that they usually have.

    Args:
        off: `P`, the estimates' distances from doing nothing.
        covariance, penalty: of these estimates, and the prior precisions that they were made with.
    """
    information = inverse(covariance)
    told = information @ off
    information[np.diag_indices(off.size)] -= penalty
    group = np.unique(np.stack([kind, partner]), axis=1, return_inverse=True)[1].ravel()
    members = np.bincount(group)
    fixed = np.bincount(group, kind == CONSTANT) > 0
    now = penalty.copy()
    for _ in range(ROUNDS):
        whole = information.copy()
        whole[np.diag_indices(off.size)] += now
        own, value = of_inverse(whole, told)
        decided = np.maximum(1.0 - own * now, 1e-6)
        scale = np.bincount(group, value**2) / np.maximum(np.bincount(group, decided), 1e-3 * members)
        before, now = now, np.where(fixed[group], penalty, 1 / np.maximum(scale, SMALLEST**2)[group])
        if (np.abs(np.log(now / before)) < NEAR).all():
            break
    return value / decided, decided / np.maximum(own, 1e-12)


def _labels(estimate: Estimate) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    kinds, partners = [], []
    names = sorted({s.partner for s in estimate.process.steps})
    d = estimate.layout.d
    for step, motion, penalty in zip(estimate.process.steps, estimate.motions, estimate.penalty, strict=True):
        row = np.zeros(motion.weights.shape, dtype=np.int64)
        for f, (levers, c) in enumerate(motion.terms):
            row[:, f] = 0 if f == 0 else 2 if not levers else 3 if len(levers) == 1 and c < 0 else 4
        row[np.arange(d), 1 + np.arange(d)] = 1
        if motion.law is not None:
            row[motion.law.rows, 1:] = LEFT_OVER
            row[:, motion.columns] = CONSTANT
        row[:, 0] = np.where(penalty[:, 0] > 1.0, CONSTANT, row[:, 0])
        kinds.append(row.ravel())
        partners.append(np.full(row.size, names.index(step.partner)))
    return np.concatenate(kinds), np.concatenate(partners).astype(np.int64)


def _svi(value: Floats, error: Floats, kind: NDArray[np.int64], partner: NDArray[np.int64], seed: int) -> Floats:
    """Posterior mean scale of each kind and partner, `kinds x partners`."""
    import pyro
    import pyro.distributions as dist
    import torch
    from pyro.infer import SVI, Trace_ELBO
    from pyro.infer.autoguide import AutoNormal

    torch.set_num_threads(1)
    y, e = torch.tensor(value), torch.tensor(error)
    k, p = torch.tensor(kind), torch.tensor(partner)
    kinds, partners = max(int(kind.max()), 4) + 1, int(partner.max()) + 1

    def model() -> None:
        whole = pyro.sample("whole", dist.Normal(-2.0 * torch.ones(kinds, dtype=torch.double), 1.5).to_event(1))
        spread = pyro.sample("spread", dist.HalfNormal(torch.tensor(0.5, dtype=torch.double)))
        shape = torch.zeros(kinds, partners, dtype=torch.double)
        own = pyro.sample("own", dist.Normal(shape, 1.0).to_event(2))
        tau = torch.exp(whole[:, None] + spread * own)
        with pyro.plate("weights", len(y)):
            # the effect itself is integrated out: normal prior plus normal error
            pyro.sample("value", dist.StudentT(TAILS, 0.0, torch.sqrt(tau[k, p] ** 2 + e**2)), obs=y)

    pyro.clear_param_store()
    pyro.set_rng_seed(seed)
    guide = AutoNormal(model, init_scale=0.1)
    svi = SVI(model, guide, pyro.optim.ClippedAdam({"lr": 0.03}), Trace_ELBO())
    for _ in range(SVI_STEPS):
        svi.step()
    middle = guide.median()
    pyro.clear_param_store()
    tau = torch.exp(middle["whole"][:, None] + middle["spread"] * middle["own"])
    return np.asarray(tau.detach().numpy(), dtype=float)
