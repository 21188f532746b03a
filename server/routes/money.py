"""What the inspection brought, per product and month, with the formulas; also as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from server import money
from server.context import Context, ContextDep
from server.db import SessionDep
from server.policies import check_product
from server.routes.processes import models_in_memory

router = APIRouter(tags=["money"])

ProductName = Annotated[str, Query(min_length=1, max_length=64)]
MonthName = Annotated[str, Query(pattern=r"^\d{4}-\d{2}$", description="Such as 2026-11, UTC; empty: the current one.")]


class WrongJson(BaseModel):
    """Wrong verdicts of one kind: known, and estimated with a 95 % interval."""

    known: int
    sampled: int = Field(description="Drawn at random, labelled, and without another word.")
    sampled_wrong: int
    others: int = Field(description="Without a person's word: the drawn ones stand for them.")
    estimate: float | None = Field(description="null: none of the others was drawn at random (QC_LABEL_AT_RANDOM).")
    low: float
    high: float


class MoneySums(BaseModel):
    """Money, in the product's currency."""

    currency: str
    cost: float | None
    cost_before: float | None
    saved: float | None
    saved_low: float | None
    saved_high: float | None


class MoneyJson(BaseModel):
    """A product's month. `formulas` says how each figure is made."""

    product: str
    month: str
    parts: int
    failed: int
    ok: int
    ng: int
    reviews: int
    escapes: WrongJson
    false_rejects: WrongJson
    reviews_saved: float | None
    recovered: int
    recovered_worth: float
    money: MoneySums | None = Field(description="null: the product's file says nothing of `money`.")
    products: list[str] = Field(description="Every product that was ever inspected.")
    formulas: dict[str, str]


@router.get("/money")
def report(
    product: ProductName, session: SessionDep, request: Request, context: ContextDep, month: str = ""
) -> MoneyJson:
    """What the inspection of a product brought in a month."""
    found = _report(context, session, request, product, month)
    told: dict[str, Any] = asdict(found)
    return MoneyJson(**told, products=money.products(session), formulas=money.FORMULAS)


@router.get("/money.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def as_csv(
    product: ProductName, session: SessionDep, request: Request, context: ContextDep, month: str = ""
) -> Response:
    """The same, one figure a line, with its formula."""
    found = _report(context, session, request, product, month)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["figure", "value", "formula"])
    for name, value in flat(asdict(found)):
        writer.writerow([name, "" if value is None else value, money.FORMULAS.get(name.split(".")[-1], _formula(name))])
    name = f"money-{found.product}-{found.month}.csv"
    head = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers=head)


def flat(told: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Nested figures as `outer.inner` and value."""
    rows: list[tuple[str, Any]] = []
    for name, value in told.items():
        rows += flat(value, f"{before}{name}.") if isinstance(value, dict) else [(before + name, value)]
    return rows


def _formula(name: str) -> str:
    first, _, last = name.partition(".")
    if last in ("low", "high"):
        return money.FORMULAS["interval"]
    return money.FORMULAS["saved"] if last.startswith("saved") else money.FORMULAS.get(first, "")


def _report(context: Context, session: Any, request: Request, product: str, month: str) -> money.Month:
    now: datetime = context.now()
    return money.report(
        context,
        session,
        models_in_memory(request, context),
        product=check_product(product),
        month=month or f"{now:%Y-%m}",
    )
