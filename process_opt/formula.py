"""A step's physics as people write it: `angle: "stroke * gain * (1 - springback * hardness / thickness)"`.

An expression is read into a small tree (numbers, names, a few functions), never handed to Python to run. The tree can
be worked out for arrays, differentiated, and asked for its unit.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.units import PLAIN, Unit, parse_unit
from qc.errors import InvalidInput
from qc.finite import is_finite

Floats = NDArray[np.float64]

LONGEST, MOST_NODES = 500, 200
"""Characters and nodes of one expression: a page of physics fits, a tree that takes seconds to work out does not."""
MOST_CONSTANTS = 20

_FUNCTIONS = {"sqrt": 1, "exp": 1, "log": 1, "sin": 1, "cos": 1, "tan": 1, "atan": 1, "tanh": 1, "abs": 1, "min": 2,
              "max": 2}  # fmt: skip
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A number (`value`), a name (`name`), or a function of other nodes."""

    kind: str
    """`number`, `name`, an operator or a function."""
    of: tuple[Node, ...] = ()
    name: str = ""
    value: float = 0.0
    at: int = 0
    """Character of the expression where it begins, from 1."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A number of the formula. Before any part was seen it is normal, and it never leaves `[low, high]`; in `unit`."""

    name: str
    mean: float
    sd: float = 0.0
    """0: known exactly."""
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""


@dataclass(frozen=True)
class Formula:
    """What a step makes of some characteristics of the part."""

    expressions: Mapping[str, Node]
    """By characteristic: its value after the step, from the values before it."""
    constants: Mapping[str, Constant]
    text: Mapping[str, str]

    def names(self, characteristic: str) -> set[str]:
        """What an expression depends on, constants included."""
        return _names(self.expressions[characteristic])


def parse_formula(content: Any, constants: Any, where: str) -> Formula:
    """A step's `formula` and `constants`; raises InvalidInput with the place of the mistake."""
    if not isinstance(content, dict) or not content:
        raise InvalidInput(f"{where}: formula must map a characteristic to an expression, not {content!r:.80}")
    known = _constants(constants, where)
    expressions = {str(name): parse(text, f"{where}: formula.{name}") for name, text in content.items()}
    used: dict[str, str] = {}
    for name, node in expressions.items():
        for constant in sorted(_names(node) & set(known)):
            if constant in used and known[constant].sd > 0:
                raise InvalidInput(
                    f"{where}: the unknown constant {constant} is in formula.{used[constant]} and formula.{name}; "
                    f"give each expression its own"
                )
            used[constant] = name
    if idle := sorted(set(known) - set(used)):
        raise InvalidInput(f"{where}: constants.{idle[0]} is in no formula of the step")
    return Formula(expressions, known, {str(n): str(t) for n, t in content.items()})


def _constants(content: Any, where: str) -> dict[str, Constant]:
    if content is None:
        return {}
    if not isinstance(content, dict) or len(content) > MOST_CONSTANTS:
        raise InvalidInput(f"{where}: constants must map at most {MOST_CONSTANTS} names to their values or priors")
    out = {}
    for name, raw in content.items():
        here = f"{where}: constants.{name}"
        if not str(name).isidentifier() or name in _FUNCTIONS or name == "pi":
            raise InvalidInput(f"{here} must be named in letters, digits and underscores, and not like a function")
        if not isinstance(raw, dict) or set(raw) - {"unit", "value", "prior"} or ("value" in raw) == ("prior" in raw):
            raise InvalidInput(f"{here} must have either value or prior, may have unit, and nothing else")
        unit = str(raw.get("unit") or "")
        parse_unit(unit, here)
        if "value" in raw:
            out[str(name)] = Constant(str(name), _finite(raw["value"], f"{here}.value"), unit=unit)
            continue
        prior = raw["prior"]
        if not isinstance(prior, dict) or set(prior) not in ({"mean", "sd"}, {"low", "high"}):
            raise InvalidInput(f"{here}.prior must have mean and sd, or low and high")
        a, b = (_finite(v, f"{here}.prior.{k}") for k, v in sorted(prior.items(), key=lambda i: i[0] in ("sd", "high")))
        if "mean" in prior:
            if b <= 0:
                raise InvalidInput(f"{here}.prior.sd must be above 0; a constant that is known has value instead")
            out[str(name)] = Constant(str(name), a, b, a - 5 * b, a + 5 * b, unit)
        else:
            if not a < b:
                raise InvalidInput(f"{here}.prior: low {a} must be below high {b}")
            out[str(name)] = Constant(str(name), (a + b) / 2, (b - a) / math.sqrt(12), a, b, unit)
    return out


def _finite(value: Any, where: str) -> float:
    if not is_finite(value):
        raise InvalidInput(f"{where} must be a number, not {value!r}")
    return float(value)


def parse(text: Any, where: str) -> Node:
    """An expression as a tree; raises InvalidInput with the character that is wrong."""
    if not isinstance(text, str) or not text.strip():
        raise InvalidInput(f"{where} must be an expression in quotes, not {text!r:.80}")
    if len(text) > LONGEST:
        raise InvalidInput(f"{where} has {len(text)} characters; at most {LONGEST} are read")
    line = text.replace("\n", " ").strip()
    try:
        tree = ast.parse(line, mode="eval").body
    except SyntaxError as error:
        raise InvalidInput(f"{where}, character {error.offset or 1}: this is no arithmetic ({error.msg})") from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise InvalidInput(f"{where} cannot be read: {error}") from error
    count = sum(1 for _ in ast.walk(tree))
    if count > MOST_NODES:
        raise InvalidInput(f"{where} has {count} terms; at most {MOST_NODES} are read, split the step")
    return _read(tree, where)


def _read(tree: ast.expr, where: str) -> Node:
    at = tree.col_offset + 1
    place = f"{where}, character {at}"
    if isinstance(tree, ast.Constant):
        if isinstance(tree.value, bool) or not isinstance(tree.value, int | float) or abs(tree.value) > 1e100:
            raise InvalidInput(f"{place}: {tree.value!r:.40} is not a number of a usual size")
        return Node("number", value=float(tree.value), at=at)
    if isinstance(tree, ast.Name):
        return Node("number", value=math.pi, at=at) if tree.id == "pi" else Node("name", name=tree.id, at=at)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub | ast.UAdd):
        inner = _read(tree.operand, where)
        return inner if isinstance(tree.op, ast.UAdd) else Node("neg", (inner,), at=at)
    if isinstance(tree, ast.BinOp) and type(tree.op) in _OPERATORS:
        left, right = _read(tree.left, where), _read(tree.right, where)
        return Node(_OPERATORS[type(tree.op)], (left, right), at=at)
    if isinstance(tree, ast.Call):
        name = tree.func.id if isinstance(tree.func, ast.Name) else ""
        if name not in _FUNCTIONS or tree.keywords or len(tree.args) != _FUNCTIONS[name]:
            raise InvalidInput(f"{place}: functions are {', '.join(sorted(_FUNCTIONS))}, min and max of two things")
        return Node(name, tuple(_read(a, where) for a in tree.args), at=at)
    raise InvalidInput(f"{place}: only numbers, names, + - * / ** and functions are known, not {ast.unparse(tree):.40}")


def _names(node: Node) -> set[str]:
    return {node.name} if node.kind == "name" else set().union(*(_names(n) for n in node.of))


def name_at(node: Node, name: str) -> int:
    """Character where a name stands first, or 0."""
    if node.kind == "name" and node.name == name:
        return node.at
    return next((at for n in node.of if (at := name_at(n, name))), 0)


# --- units ---------------------------------------------------------------------------------------------------------


def unit_of(node: Node, units: Mapping[str, Unit], where: str) -> Unit:
    """The unit of an expression; raises InvalidInput where things of different kinds are added or compared."""
    place = f"{where}, character {node.at}"
    if node.kind == "number":
        return PLAIN
    if node.kind == "name":
        return units[node.name]
    of = [unit_of(n, units, where) for n in node.of]
    if node.kind in ("+", "-", "min", "max"):
        if of[0].kinds != of[1].kinds:
            raise InvalidInput(
                f"{place}: {node.kind} joins {of[0].said} and {of[1].said}; give constants their units, "
                f"and write a number that has one as a constant"
            )
        return of[0]
    if node.kind in ("neg", "abs"):
        return of[0]
    if node.kind == "*":
        return of[0].times(of[1], 1)
    if node.kind == "/":
        return of[0].times(of[1], -1)
    if node.kind == "sqrt":
        return of[0].to_the(0.5)
    if node.kind == "**":
        if of[1].kinds:
            raise InvalidInput(f"{place}: an exponent must be a plain number, not {of[1].said}")
        if not of[0].kinds:
            return PLAIN
        power = node.of[1]
        sign = -1.0 if power.kind == "neg" else 1.0
        power = power.of[0] if power.kind == "neg" else power
        if power.kind != "number":
            raise InvalidInput(f"{place}: {of[0].said} can only be raised to a number that is written out")
        return of[0].to_the(sign * power.value)
    turns = node.kind in ("sin", "cos", "tan") and of[0].kinds == (("radian", 1.0),)
    if of[0].kinds and not turns:
        raise InvalidInput(f"{place}: {node.kind} takes a plain number, not {of[0].said}")
    return parse_unit("rad", where) if node.kind == "atan" else PLAIN


# --- values and derivatives ------------------------------------------------------------------------------------------


_WORK: dict[str, Callable[..., Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "**": np.power, "neg": np.negative,
    "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos, "tan": np.tan, "atan": np.arctan,
    "tanh": np.tanh, "abs": np.abs, "min": np.minimum, "max": np.maximum, "sign": np.sign,
    "below": lambda a, b: np.where(a < b, 1.0, 0.0),
}  # fmt: skip


def evaluate(node: Node, values: Mapping[str, Any], memo: dict[int, Any]) -> Any:
    """The expression's value; what it shares with others of the same `memo` is worked out once."""
    key = id(node)
    if key not in memo:
        if node.kind == "number":
            memo[key] = node.value
        elif node.kind == "name":
            memo[key] = values[node.name]
        else:
            memo[key] = _WORK[node.kind](*(evaluate(n, values, memo) for n in node.of))
    return memo[key]


ZERO, ONE = Node("number"), Node("number", value=1.0)


@lru_cache(maxsize=4096)
def derivative(node: Node, name: str) -> Node:
    """The derivative with respect to a name, as an expression; `ZERO` itself where it does not depend on it."""
    if node.kind in ("number", "sign", "below"):
        return ZERO
    if node.kind == "name":
        return ONE if node.name == name else ZERO
    inner = [derivative(n, name) for n in node.of]
    if all(n is ZERO for n in inner):
        return ZERO
    a = node.of[0]
    da = inner[0]
    if len(node.of) == 2:
        b, db = node.of[1], inner[1]
        if node.kind in ("+", "-"):
            return _sum(da, db) if node.kind == "+" else _sum(da, _negative(db))
        if node.kind == "*":
            return _sum(_product(da, b), _product(a, db))
        if node.kind == "/":
            return _ratio(_sum(da, _negative(_product(node, db))), b)
        if node.kind == "**":
            out = ZERO
            if da is not ZERO:
                lower = Node("**", (a, Node("-", (b, ONE))))
                out = _product(_product(b, lower), da)
            return out if db is ZERO else _sum(out, _product(_product(node, Node("log", (a,))), db))
        less = Node("below", (a, b))
        first, second = (da, db) if node.kind == "min" else (db, da)
        return _sum(second, _product(less, _sum(first, _negative(second))))
    outer = {
        "neg": lambda: Node("number", value=-1.0),
        "sqrt": lambda: _ratio(Node("number", value=0.5), node),
        "exp": lambda: node,
        "log": lambda: _ratio(ONE, a),
        "sin": lambda: Node("cos", (a,)),
        "cos": lambda: _negative(Node("sin", (a,))),
        "tan": lambda: _sum(ONE, _product(node, node)),
        "atan": lambda: _ratio(ONE, _sum(ONE, _product(a, a))),
        "tanh": lambda: _sum(ONE, _negative(_product(node, node))),
        "abs": lambda: Node("sign", (a,)),
    }[node.kind]()
    return _product(outer, da)


def _negative(a: Node) -> Node:
    return a if a is ZERO else Node("neg", (a,))


def _sum(a: Node, b: Node) -> Node:
    return b if a is ZERO else a if b is ZERO else Node("+", (a, b))


def _product(a: Node, b: Node) -> Node:
    if a is ZERO or b is ZERO:
        return ZERO
    return b if a is ONE else a if b is ONE else Node("*", (a, b))


def _ratio(a: Node, b: Node) -> Node:
    return ZERO if a is ZERO else Node("/", (a, b))
