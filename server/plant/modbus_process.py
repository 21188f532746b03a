"""Process values in and recommendations out over Modbus TCP, on the same way as REST's, MQTT's and OPC UA's.

`plant.yaml` names a process and its `values`, `step.setting` and `step.measurement`; the registers of each follow from
its place in that list, counted from 0 as `n`.

| kind | address | what |
|---|---|---|
| coil, written by the PLC | 0 | ask: rises where a recommendation is wanted |
| | 1 | tell: rises when the part is finished or scrapped |
| discrete input, read by the PLC | 0 | ready: ask or tell may rise; one that rises otherwise is not heard |
| | 1 | busy |
| | 2 | done: the answer stands, until ask and tell have fallen |
| | 3 | refused (done is set, too) |
| holding register, written by the PLC | 0 | ask: number of the next step, from 1 in the process's order |
| | 1 | tell: 1 finished, 2 scrapped |
| | 2 | tell: number of the step at which it was scrapped; 0: not said |
| | 3 to 34 | name of the part: ASCII, two characters a register, the first in the high byte; a zero ends it |
| | 35 to 66 | its batch, likewise; empty: none |
| | 100 + 2 n | the value, IEEE 754 with 32 bits, high word first; NaN: not known |
| input register, read by the PLC | 0 | heartbeat: one more at each reading |
| | 1 | why it was refused (`Refusal`) |
| | 2 | decision: 1 continue, 2 correct, 3 scrap, 4 measure, 5 abstain; 0: nothing was asked |
| | 3 | what was told: 1 is new, 2 had been told before; 0: nothing was told |
| | 4, 5 | chance to conform, as values are; NaN: unknown |
| | 6, 7 | expected value in the process's currency, likewise |
| | 8 to 25 | id of the recommendation, as names are |
| | 100 + 2 n | the value that the plan wants; NaN: it leaves it at its nominal |

Which optional steps to run, what to measure, and the reason are in the recommendation of that id (REST, MQTT). All of a
reading is of one moment. What 32 bits hold is read as the decimal number of seven digits that it stands for.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import IntEnum

import structlog
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from process_opt.process import Process
from qc.errors import InvalidInput, QcError, Unavailable
from server import process_intake
from server.context import Context
from server.plant.modbus import text_of, words_of
from server.process_intake import Asked, CameOf

log = structlog.get_logger(__name__)

BITS = 16
PART, BATCH, NAME_WORDS = 3, 35, 32
ID, ID_WORDS = 8, 18
VALUES = 100
"""Address of the first value."""
DECISIONS = ("", "continue", "correct", "scrap", "measure", "abstain")
DISPOSITIONS = ("", "finished", "scrapped")


class Refusal(IntEnum):
    """Why there is no answer."""

    NONE = 0
    NONSENSE = 1
    """What was sent makes no sense; the server's log says what."""
    AWAY = 2
    """The database is away: the same again may work in a moment."""
    MISTAKE = 3
    """The server made a mistake; its log holds it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the PLC reads."""

    refusal: Refusal = Refusal.NONE
    decision: int = 0
    told: int = 0
    p_conform: float = math.nan
    expected_value: float = math.nan
    recommendation: str = ""
    settings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Shown:
    """All that is read, of one moment."""

    is_busy: bool = False
    is_done: bool = False
    answer: Answer = Answer()


class ProcessTables:
    """One process's tables; what is asked and told is done by a thread of its own. `modbus_protocol.Tables`."""

    def __init__(self, context: Context, name: str, values: Sequence[str]) -> None:
        self._context, self._name, self._values = context, name, tuple(values)
        self._ask = self._tell = False
        self._holding = [0] * VALUES + words_of_floats([math.nan] * len(values))
        self._shown = _Shown()
        """Replaced whole: the wire's thread and ours read and write it without a lock."""
        self._beat = 0
        self._work = ThreadPoolExecutor(1, thread_name_prefix=f"process-{name}")

    def stop(self) -> None:
        """Finish what is at hand."""
        self._work.shutdown(wait=True)

    def coils(self) -> Sequence[bool]:
        """As the PLC wrote them."""
        return [self._ask, self._tell] + [False] * (BITS - 2)

    def discrete_inputs(self) -> Sequence[bool]:
        """How far it is."""
        shown = self._shown
        refused = shown.is_done and shown.answer.refusal != Refusal.NONE
        levels = [not shown.is_busy and not shown.is_done, shown.is_busy, shown.is_done, refused]
        return levels + [False] * (BITS - len(levels))

    def holding_registers(self) -> Sequence[int]:
        """As the PLC wrote them."""
        return self._holding

    def input_registers(self) -> Sequence[int]:
        """The answer."""
        self._beat = (self._beat + 1) & 0xFFFF
        answer = self._shown.answer
        words = [self._beat, int(answer.refusal), answer.decision, answer.told]
        words += words_of_floats([answer.p_conform, answer.expected_value])
        words += words_of(answer.recommendation, ID_WORDS)
        words += [0] * (VALUES - len(words))
        return words + words_of_floats([answer.settings.get(name, math.nan) for name in self._values])

    def write_coils(self, address: int, values: Sequence[bool]) -> None:
        """The PLC asks or tells, or has read the answer."""
        levels = list(self.coils())
        levels[address : address + len(values)] = values
        asks, tells = levels[0] and not self._ask, levels[1] and not self._tell
        self._ask, self._tell = levels[0], levels[1]
        shown = self._shown
        if shown.is_done and not self._ask and not self._tell:
            self._shown = replace(shown, is_done=False)
        elif (asks or tells) and not shown.is_busy and not shown.is_done:
            self._shown = _Shown(is_busy=True)
            self._work.submit(self._do, list(self._holding), asks=asks, tells=tells)

    def write_registers(self, address: int, values: Sequence[int]) -> None:
        """What it asks or tells about."""
        self._holding[address : address + len(values)] = values

    def _do(self, words: list[int], *, asks: bool, tells: bool) -> None:
        try:
            if asks and tells:
                raise InvalidInput("ask and tell rose at the same time")
            answer = self._recommend(words) if asks else self._take_outcome(words)
        except (SQLAlchemyError, OSError, Unavailable) as error:
            log.error("what came over Modbus could not be kept", process=self._name, problem=str(error))
            answer = Answer(Refusal.AWAY)
        except (QcError, ValidationError) as error:
            log.warning("what came over Modbus is refused", process=self._name, why=str(error))
            answer = Answer(Refusal.NONSENSE)
        except Exception:  # the PLC must not wait for ever
            log.exception("what came over Modbus met a mistake", process=self._name)
            answer = Answer(Refusal.MISTAKE)
        self._shown = _Shown(is_done=True, answer=answer)

    def _recommend(self, words: list[int]) -> Answer:
        process = process_intake.model_of(self._context, self._name).process
        at = _step(words[0], process)
        if at is None:
            raise InvalidInput("register 0 must hold the number of the next step")
        part, batch = _names(words)
        asked = Asked(part=part, at=at, batch=batch, observed=self._observed(words))
        told = process_intake.advise(self._context, self._name, [asked])[0]
        return Answer(
            decision=DECISIONS.index(told["decision"]),
            p_conform=_or_nan(told["p_conform"]),
            expected_value=_or_nan(told["expected_value"]),
            recommendation=told["id"],
            settings=dict(told["settings"]),
        )

    def _take_outcome(self, words: list[int]) -> Answer:
        process = process_intake.model_of(self._context, self._name).process
        if not 1 <= words[1] < len(DISPOSITIONS):
            raise InvalidInput("register 1 must be 1 for a finished part or 2 for a scrapped one")
        part, batch = _names(words)
        came = CameOf(
            part=part,
            batch=batch,
            disposition=DISPOSITIONS[words[1]],
            scrapped_at=_step(words[2], process),
            observed=self._observed(words),
        )
        taken = process_intake.take_outcomes(self._context, self._name, [came], by=f"modbus {self._name}")
        return Answer(told=1 if taken.accepted else 2)

    def _observed(self, words: list[int]) -> dict[str, float]:
        values = floats_of(words[VALUES:])
        return {name: value for name, value in zip(self._values, values, strict=True) if not math.isnan(value)}


def words_of_floats(values: Sequence[float]) -> list[int]:
    """Two registers for each value, high word first; beyond the range of 32 bits it is infinite."""
    return [word for value in values for word in struct.unpack(">HH", _packed(value))]


def floats_of(words: Sequence[int]) -> list[float]:
    """The values in registers, as the decimal numbers of seven digits that they stand for."""
    data = struct.pack(f">{len(words)}H", *words)
    return [float(f"{value:.7g}") for (value,) in struct.iter_unpack(">f", data)]


def _packed(value: float) -> bytes:
    try:
        return struct.pack(">f", value)
    except OverflowError:
        return struct.pack(">f", math.copysign(math.inf, value))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _names(words: list[int]) -> tuple[str, str | None]:
    """The part and its batch; raises InvalidInput for what is no printable ASCII text."""
    part, batch = (text_of(words[start : start + NAME_WORDS]) for start in (PART, BATCH))
    for name in (part, batch):
        if not (name.isascii() and (name.isprintable() or not name)):
            raise InvalidInput("the name of a part or batch is not printable ASCII text")
    return part, batch or None


def _step(number: int, process: Process) -> str | None:
    """The step of that number, from 1; None for 0. Raises InvalidInput."""
    if number > len(process.steps):
        raise InvalidInput(f"there is no step {number}: {process.name} has {len(process.steps)}")
    return process.steps[number - 1].name if number else None
