"""Who does something to the server: PLCs with their cameras, clients over REST, a camera that writes into the inbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from qc.errors import InvalidInput, QcError
from qc.records import Inspection
from server.context import Context
from server.orders import Order, Picture
from server.plant.handshake import Inputs
from server.plant.station import Shown, Station

from .pieces import Piece
from .plant import CAMERAS, DECIDE_BY_S, Gone, Server, Stations
from .record import Answer, Record, Told
from .world import Life, World

T = TypeVar("T")

LATEST_S = 0.999
"""A camera's picture comes within so many seconds of its trigger, and the millisecond of its renaming, or never."""


class Camera:
    """A camera with its software: writes a picture into its folder at each pulse, mostly."""

    def __init__(self, world: World, life: Life, folder: Path, view: int) -> None:
        self.world, self.life, self.folder, self.view = world, life, folder, view

    def pulse(self, piece: Piece) -> None:
        """The trigger's pulse reaches the camera."""
        self.world.spawn(self.life, "camera", lambda: self._shoot(piece))

    def _shoot(self, piece: Piece) -> None:
        world, data, pulsed = self.world, piece.picture(self.view), self.world.now()
        fate = 1.0 if world.calm else world.rng.random()
        if fate < 0.02:
            return  # it lost the frame
        late = fate < 0.06
        world.sleep(world.rng.uniform(0.3, LATEST_S) if late else world.rng.expovariate(1 / 0.03) % 0.2)
        if 0.06 < fate < 0.08:
            data = data[: len(data) // 2]
        target = self.folder / f"{world.seconds:.6f}.png"
        if 0.08 < fate < 0.2:  # written in two goes, in the open
            with target.open("wb") as out:
                out.write(data[:100])
                out.flush()
                world.sleep(world.rng.expovariate(1 / 0.05))
                out.write(data[100:])
        else:
            beside = target.with_name(f".{target.name}")
            beside.write_bytes(data)
            world.sleep(0.001)
            beside.rename(target)
        if 0.2 < fate < 0.22:  # written a second time, at once or by and by
            if fate > 0.21:
                world.sleep(world.rng.uniform(0.0, max(pulsed + LATEST_S - world.now(), 0.0)))
            target.with_name(f"again-{target.name}").write_bytes(data)


class Plc:
    """Drives one station over and over, sometimes against the rules."""

    def __init__(self, world: World, server: Server, record: Record, name: str, life: Life) -> None:
        self.world, self.server, self.record, self.name = world, server, record, name
        folders = [server.home / "cameras" / name / str(n) for n in range(CAMERAS[name])]
        self.cameras = [Camera(world, life, folder, n) for n, folder in enumerate(folders)]
        self.recipe = 1
        self._forgot = False
        """It did not acknowledge the last result."""
        self._cut = False
        """A result may stand there that it has not acknowledged."""

    def run(self) -> None:
        """Until the end of the story."""
        while True:
            self.world.sleep(self.world.rng.uniform(0.1, 3.0))
            try:
                self._cycle()
            except Gone:
                self._cut = True
                self.record.unanswered += self._outstanding
                self.world.sleep(0.5)

    def _call(self, function: Callable[[Station], T]) -> T:
        """Over the wire; raises Gone when the server is another one than at the beginning of the cycle, too."""
        if self.server.life is not self._life:
            raise Gone

        def work(context: Context) -> T:
            plant = context.parts["plant"]
            if not isinstance(plant, Stations):
                raise Gone
            return function(plant.stations[self.name])

        return self.server.ask(work)

    def _say(self, *, trigger: bool = False, acknowledge: bool = False, part: str = "") -> None:
        inputs = Inputs(trigger, acknowledge, self.recipe, part)
        self._call(lambda station: station.heard(inputs))

    def _shown(self) -> Shown:
        return self._call(lambda station: station.shown())

    def _cycle(self) -> None:
        world, rng = self.world, self.world.rng
        self._outstanding = 0
        self._life, self._in_calm = self.server.life, self.record.calm
        self._say()
        whim = 1.0 if world.calm else rng.random()
        if self._forgot and (self.world.calm or self.world.chance(0.5)):
            self._say(acknowledge=True)  # somebody presses reset
            self._say()
            self._forgot = False
        if self._cut:
            self._say(acknowledge=True)
            self._say()
            self._cut = False
        if whim > 0.03 and not self._forgot and not self._wait_until_ready():
            return
        self._forgot = False
        piece, pieces, hasty = self._pulse(), 1, False
        if 0.03 < whim < 0.06:  # overrun
            world.sleep(rng.uniform(0.0, 0.3))
            self._say()
            piece, pieces = self._pulse(), 2
        elif 0.06 < whim < 0.08:
            # It acknowledges without looking; what is not there yet waits for a rise that comes after.
            self._say(acknowledge=True)
            self._cut = hasty = True
        shown = self._await_result(world.now(), hasty=hasty)
        if shown is None or shown.reply is None:
            self._cut = True
            return
        reply = shown.reply
        passed = shown.signals.ok and not shown.signals.ng
        if passed and pieces == 2:
            self.record.violated(f"{self.name}: two pieces were triggered without an answer between, and one ok told")
        told = Told(
            self.name, reply.number, reply.since, piece, passed, reply.fault.name, reply.inspection, self._in_calm
        )
        self.record.told.append(told)
        world.tell(f"{self.name} {reply.number} {passed} {reply.fault.name}")
        self._outstanding = 0
        world.sleep(rng.uniform(0.0, 0.1))
        again = self._shown()
        if again.reply != reply or again.signals != shown.signals:
            self.record.violated(f"{self.name}: the result of trigger {reply.number} changed while it was read")
        if 0.08 < whim < 0.10:
            self._forgot = True
            return
        self._say(trigger=rng.random() < 0.5, acknowledge=True)
        self._say()

    def _pulse(self) -> Piece:
        """The next piece stands under the cameras, and its trigger rises."""
        piece = self.record.piece()
        self.record.triggers += 1
        self._outstanding += 1
        for camera in self.cameras:
            camera.pulse(piece)
        self._say(trigger=True, part=piece.name)
        return piece

    def _wait_until_ready(self) -> bool:
        until = self.world.now() + 20.0
        while self.world.now() < until:
            if self._shown().signals.ready:
                return True
            self.world.sleep(0.05)
        if self._in_calm:
            self.record.violated(f"{self.name}: not ready within 20 s although nothing is wrong")
        return False

    def _await_result(self, heard: float, *, hasty: bool) -> Shown | None:
        """Polls until the result is there; it must be by the decide-by time of the moment it was heard.

        None: there is none, or a hasty PLC acknowledged it unread, and counts the piece as not good.
        """
        while True:
            asked = self.world.now()
            shown = self._shown()
            if shown.signals.results_ready:
                return shown
            if hasty and shown.signals.old and shown.reply is not None and shown.reply.number == shown.number:
                return None
            if asked > heard + DECIDE_BY_S[self.name]:
                self.record.violated(f"{self.name}: no result by the deadline; it shows {shown.signals}")
                return None
            self.world.sleep(self.world.rng.uniform(0.005, 0.05))


class Client:
    """Sends parts over REST, and again with the same trigger until it has an answer."""

    def __init__(self, world: World, server: Server, record: Record, name: str, life: Life) -> None:
        self.world, self.server, self.record, self.name, self.life = world, server, record, name, life
        self._n = 0

    def run(self) -> None:
        """Until the end of the story."""
        while True:
            self.world.sleep(self.world.rng.uniform(0.5, 6.0))
            piece = self.record.piece()
            self._n += 1
            trigger = f"{self.name}-{self._n}"
            views = 1 + self.world.rng.randrange(2)
            pictures = [Picture(piece.picture(n), f"{n}.png", f"v{n}") for n in range(views)]
            order = Order(piece.name, self.name, pictures, trigger_id=trigger)
            if not self.world.calm and self.world.chance(0.05):
                self.world.spawn(self.life, "twin", lambda order=order: self._send(order))  # type: ignore[misc]
            self._send(order)

    def _send(self, order: Order) -> None:
        while True:
            try:
                answer = self.server.ask(lambda context: _inspect(context, order))
            except InvalidInput as error:
                self.record.violated(f"{order.trigger_id}: a good picture was refused: {error.message}")
                return
            except (Gone, QcError, SQLAlchemyError, OSError) as error:
                if isinstance(error, OSError):
                    self.record.violated(f"{order.trigger_id}: the answer was a mistake of the server: {error}")
                self.world.sleep(self.world.rng.uniform(0.2, 2.0))
                continue
            self.record.answers.append(answer)
            self.world.tell(f"{answer.trigger_id} {answer.verdict}")
            if self.world.calm or not self.world.chance(0.1):  # the answer got lost on the way, now and then
                return


def _inspect(context: Context, order: Order) -> Answer:
    """What the route does."""
    taken = context.need_inspector().inspect(order)
    with context.database.read() as session:
        row = session.get(Inspection, taken.inspection_id)
        assert row is not None
        verdict = None if row.verdict is None else str(row.verdict)
        return Answer(order.station, order.trigger_id or "", row.id, verdict, str(row.progress))


class Writer:
    """A camera's software that writes into the inbox."""

    def __init__(self, world: World, server: Server, record: Record, name: str) -> None:
        self.world, self.record, self.folder = world, record, server.home / "inbox" / name

    def run(self) -> None:
        """Until the story becomes calm."""
        self.folder.mkdir(parents=True, exist_ok=True)
        while not self.world.calm:
            self.world.sleep(self.world.rng.uniform(1.0, 8.0))
            piece = self.record.piece()
            self.record.dropped[piece.name] = piece
            self.folder.mkdir(exist_ok=True)
            file, data = self.folder / f"{piece.name}.png", piece.picture()
            if self.world.chance(0.5):
                beside = file.with_name(f".{file.name}")
                beside.write_bytes(data)
                self.world.sleep(0.01)
                beside.rename(file)
            else:
                with file.open("wb") as out:
                    out.write(data[:80])
                    out.flush()
                    self.world.sleep(self.world.rng.expovariate(2.0))
                    out.write(data[80:])
