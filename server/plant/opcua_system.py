"""One station as a vision system of OPC 40100-1: its methods, and what it tells as things happen."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from qc.verdict import Verdict
from server.context import Context
from server.plant import opcua_states as states
from server.plant.config import FILE
from server.plant.handshake import Fault, Inputs, Reply
from server.plant.opcua_andon import Andon
from server.plant.opcua_conditions import Condition
from server.plant.opcua_events import ORDINARY, TROUBLE, WARNING, Fields, Teller
from server.plant.opcua_recipes import Recipes
from server.plant.opcua_results import Job, Result, Results, job_id, recipe_id, structure
from server.plant.opcua_space import Space
from server.plant.opcua_states import Automatic, Position, Step, Vision
from server.plant.opcua_types import Answers, Do, Refused, done, id_of
from server.plant.station import STARTING, Station

log = structlog.get_logger(__name__)

LOW = Inputs(trigger=False, acknowledge=False)
JOBS = 100
"""Jobs whose wishes are remembered until their results are told."""
SEARCHED = (
    "MeasId",
    "PartId",
    "ExternalRecipeId",
    "InternalRecipeId",
    "ExternalConfigurationId",
    "InternalConfigurationId",
    "ProductId",
    "JobId",
)
"""What results are looked for by."""
Kinds = ua.VariantType


class Kept:
    """What of one station outlives an OPC UA server that ended by itself."""

    def __init__(self, station: Station, default_product: str) -> None:
        self.results = Results()
        self.recipes = Recipes(station.config.recipes, default_product)
        self.jobs: OrderedDict[int, Job] = OrderedDict()
        self.told: Reply | None = station.shown().reply
        """The newest result that went out."""
        self.position = Position()


class VisionSystem:
    """Lives in the event loop of the server."""

    def __init__(self, station: Station, kept: Kept, space: Space, andon: Andon, context: Context) -> None:
        self.station, self._kept, self._space, self._andon, self._context = station, kept, space, andon, context
        self._lit: list[str] | None = None
        self._one = asyncio.Lock()
        """One thing at a time, of what moves the state machines: a client's call must not fall between two looks."""
        self._tell = Teller(space.server, space.model, space.system)
        self.error = Condition(space, self._tell, "VisionErrorConditionType", "ErrorCondition", stops=True)
        self.warning = Condition(space, self._tell, "VisionWarningConditionType", "WarningCondition", stops=False)
        self._acquired = station.shown().acquired
        self._configuration = hashlib.sha256(station.config.model_dump_json().encode()).hexdigest()[:16]

    async def build(self) -> None:
        """Link the methods and show where everything stands."""
        link, top = self._link, "VisionStateMachine"
        below = f"{top}/AutomaticModeStateMachine"
        for command in ("Reset", "Halt"):
            await link(f"{top}/{command}", self._command(command))
        await link(f"{top}/SelectModeAutomatic", self._command("SelectModeAutomatic"))
        await link(f"{top}/ConfirmAll", self._confirm_all)
        await link(f"{below}/StartSingleJob", self._start_single_job)
        await link(f"{below}/StartContinuous", self._start_continuous)
        await link(f"{below}/Stop", self._end("Stop"))
        await link(f"{below}/Abort", self._end("Abort"))
        await link("RecipeManagement/GetRecipeListFiltered", self._list_recipes)
        await link("RecipeManagement/PrepareRecipe", self._prepare_recipe)
        await link("RecipeManagement/UnprepareRecipe", self._unprepare_recipe)
        await link("ResultManagement/GetResultById", self._get_result)
        await link("ResultManagement/GetResultComponentsById", self._get_components)
        await link("ResultManagement/GetResultListFiltered", self._list_results)
        await link("ConfigurationManagement/GetConfigurationList", self._list_configurations)
        await link("ConfigurationManagement/GetConfigurationById", self._get_configuration)
        await link("ConfigurationManagement/ActivateConfiguration", self._activate_configuration)
        for condition in (self.error, self.warning):
            await condition.build()
        active = self._space["ConfigurationManagement/ActiveConfiguration"]
        await active.write_value(self._configuration_value())
        await self._space["DiagnosticLevel"].write_value(ORDINARY, Kinds.UInt16)
        await self._space.let_clients_write("DiagnosticLevel")
        await self._show()
        self.station.heard(LOW)

    async def publish(self) -> bool:
        """Tell what has happened since the last time; True: look again at once."""
        async with self._one:
            return await self._publish()

    async def _link(self, path: str, do: Do) -> None:
        async def alone(*given: Any) -> Answers:
            async with self._one:
                return await do(*given)

        await self._space.link(path, alone)

    async def _publish(self) -> bool:
        station, kept = self.station, self._kept
        shown = station.shown()
        if shown.acquired > self._acquired:
            self._acquired = shown.acquired
            await self._fire("AcquisitionDoneEventType", "the part may move", {"JobId": self._job_id(shown.acquired)})
        told = shown.reply is not None and shown.reply != kept.told
        if told and shown.reply is not None:
            await self._tell_result(shown.reply, shown.recipe)
            kept.told = shown.reply
            station.heard(Inputs(trigger=False, acknowledge=True))
            station.heard(LOW)
        phase, problem = station.phase, station.problem
        prepared, starting = bool(kept.recipes.prepared), problem == STARTING
        moved = states.looked(kept.position, phase, problem, starting=starting, prepared=prepared)
        await self._move(moved, problem or "")
        await self.error.show("" if problem is None or starting else problem, TROUBLE)
        await self._light()
        return told

    async def _light(self) -> None:
        """The andon, where what lights it has changed."""
        lit = self._andon.lit(self.station.name)
        if lit != self._lit:
            self._lit = lit
            await self._space["Andon/Lit"].write_value(bool(lit))
            await self._space["Andon/Alarms"].write_value(ua.Variant(lit, Kinds.String, is_array=True))
            await self.warning.show("; ".join(lit), WARNING)

    async def _move(self, moved: tuple[Position, list[Step]], why: str) -> None:
        self._kept.position, steps = moved
        if not steps:
            return
        await self._show()
        for step in steps:
            await self._tell.moved(step, why)
            if step.machine is Automatic and step.after == Automatic.READY:
                job = self._job_id(self.station.shown().number)
                await self._fire("ReadyEventType", "the next part may come", {"JobId": job})

    async def _show(self) -> None:
        """Write where the machines stand."""
        position, top = self._kept.position, "VisionStateMachine"
        await self._show_state(f"{top}/CurrentState", Vision, position.vision)
        await self._show_state(f"{top}/AutomaticModeStateMachine/CurrentState", Automatic, position.automatic)
        system_state = getattr(ua, "SystemStateDataType")  # noqa: B009  the library makes it from the types' file
        kind = {
            Vision.ERROR: system_state.UDT_5,
            Vision.HALTED: system_state.SDT_4,
            Vision.PREOPERATIONAL: system_state.NST_6,
            Vision.OPERATIONAL: system_state.SBY_2,
        }[position.vision]
        working = position.automatic == Automatic.SINGLE
        state = structure("SystemStateDescriptionDataType", State=system_state.PRD_1 if working else kind)
        state.StateDescription = self.station.problem or ""
        await self._space["SystemState"].write_value(state)

    async def _show_state(self, path: str, machine: type[Vision] | type[Automatic], state: str | None) -> None:
        nodes = self._space.nodes
        if state is None:  # a state machine within a state that is not the present one
            gone = ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(StatusCodes.BadStateNotActive)))
            await nodes[path].write_attribute(AttributeIds.Value, gone)
            await nodes[f"{path}/Id"].write_attribute(AttributeIds.Value, gone)
            return
        await nodes[path].write_value(ua.LocalizedText(state))
        await nodes[f"{path}/Id"].write_value((await self._tell.part_of(machine, state)).nodeid)

    async def _fire(self, kind: str, message: str, fields: dict[str, Any]) -> None:
        told = {name: (value, Kinds.ExtensionObject) for name, value in fields.items()}
        await self._tell.tell((f"{self._space.model}:{kind}",), message, told)

    async def _inform(self, message: str, severity: int = ORDINARY, *, diagnostic: bool = False) -> None:
        kind = "VisionDiagnosticInfoEventType" if diagnostic else "VisionInformationEventType"
        if diagnostic and severity < int(await self._space["DiagnosticLevel"].read_value()):
            return
        model = self._space.model
        await self._tell.tell((f"{model}:VisionEventType", f"{model}:{kind}"), message, {}, severity)

    async def _tell_result(self, reply: Reply, recipe: int) -> None:
        jobs, now = self._kept.jobs, self._context.now()
        product = self._kept.recipes.product(recipe) or ""
        job = jobs.pop(reply.number, None) or Job(reply.number, reply.part, recipe, product, "", now)
        result = Result(self.station.name, job, reply, now, self._configuration)
        self._kept.results.add(result)
        fields: Fields = result.fields()
        word = "ok" if reply.ok else str(Verdict.NG)
        await self._tell.tell((f"{self._space.model}:ResultReadyEventType",), f"{reply.part}: {word}", fields)
        if reply.fault != Fault.NONE:
            await self._inform(f"{job_id(self.station.name, reply.number)}: {result.text}", WARNING)
        await self._inform(f"{job_id(self.station.name, reply.number)} took {reply.elapsed_ms:.0f} ms", diagnostic=True)

    def _job_id(self, number: int) -> Any:
        return structure("JobIdDataType", Id=job_id(self.station.name, number))

    # methods of the state machines

    def _command(self, command: str) -> Any:
        async def do(*cause: Any) -> Answers:
            moved = states.commanded(self._kept.position, command)
            if moved is None:
                raise Refused(StatusCodes.BadInvalidState)
            await self._move(moved, _said(command, cause))
            if cause:
                await self._inform(_said(command, cause))
            return done()

        return do

    def _end(self, how: str) -> Any:
        async def do(*cause: Any) -> Answers:
            position, shown = self._kept.position, self.station.shown()
            if position.vision != Vision.OPERATIONAL:
                raise Refused(StatusCodes.BadInvalidState)
            self._kept.position = states.leaving(position, how)
            if how == "Abort" or shown.acquired < shown.number:  # what was acquired before Stop has its result
                self.station.abort()
            await self._inform(_said(how, cause))
            return done()

        return do

    async def _start_single_job(self, meas: Any, part: Any, recipe: Any, product: Any, _more: Any) -> Answers:
        index = self._kept.recipes.for_job(id_of(recipe), id_of(product))
        if index is None:
            raise Refused(StatusCodes.BadInvalidArgument)
        if not states.may_start(self._kept.position):
            raise Refused(StatusCodes.BadInvalidState)
        name, started_at = id_of(part), self._context.now()
        number = self.station.trigger_if_ready(Inputs(trigger=True, acknowledge=False, recipe=index, part=name))
        if number is None:
            raise Refused(StatusCodes.BadInvalidState)
        jobs, told = self._kept.jobs, self._kept.recipes.product(index) or ""
        jobs[number] = Job(number, name, index, told, id_of(meas), started_at)
        while len(jobs) > JOBS:
            jobs.popitem(last=False)
        await self._move(states.started(self._kept.position), "")
        await self._fire("JobStartedEventType", name, {"JobId": self._job_id(number)})
        return [(self._job_id(number), Kinds.ExtensionObject), *done()]

    async def _start_continuous(self, *_job: Any) -> Answers:
        raise Refused(StatusCodes.BadNotSupported)

    async def _confirm_all(self, comment: ua.LocalizedText | None) -> Answers:
        for condition in (self.error, self.warning):
            await condition.confirm_all((comment.Text or "") if comment is not None else "")
        return []

    # recipes

    async def _list_recipes(
        self, external: Any, product: Any, prepared: Any, most: int, first: int, _timeout: Any
    ) -> Answers:
        yes = {0: False, 1: True}.get(int(prepared) if prepared is not None else 2)
        found = self._kept.recipes.listed(id_of(external), id_of(product), yes)
        told = [recipe_id(n, self._kept.recipes.product(n) or "", external=False) for n in found]
        return _page(told, most, first)

    async def _prepare_recipe(self, external: Any, internal: Any) -> Answers:
        index, ident = self._recipe(external, internal)
        self._kept.recipes.prepare(index)
        product = self._kept.recipes.product(index) or ""
        fields = {
            "ExternalId": recipe_id(index, product, external=True),
            "InternalId": ident,
            "ProductId": structure("ProductIdDataType", Id=product),
        }
        await self._fire("RecipePreparedEventType", product, fields)
        await self._recipes_changed()
        return [(ident, Kinds.ExtensionObject), (True, Kinds.Boolean), *done()]

    async def _unprepare_recipe(self, external: Any, internal: Any) -> Answers:
        index, ident = self._recipe(external, internal)
        self._kept.recipes.unprepare(index)
        await self._recipes_changed()
        return [(ident, Kinds.ExtensionObject), *done()]

    def _recipe(self, external: Any, internal: Any) -> tuple[int, Any]:
        index = self._kept.recipes.find(id_of(external), id_of(internal))
        if index is None:
            raise Refused(StatusCodes.BadInvalidArgument)
        return index, recipe_id(index, self._kept.recipes.product(index) or "", external=False)

    async def _recipes_changed(self) -> None:
        yes = bool(self._kept.recipes.prepared)
        await self._move(states.prepared(self._kept.position, self.station.phase, yes=yes), "")

    # results

    async def _get_result(self, ident: Any, _timeout: Any) -> Answers:
        return [(0, Kinds.UInt32), (self._result(ident).value(), Kinds.ExtensionObject), *done()]

    async def _get_components(self, ident: Any, _timeout: Any) -> Answers:
        fields = self._result(ident).fields()
        del fields["ResultId"]
        return [(False, Kinds.Boolean), (0, Kinds.UInt32), *fields.values(), *done()]

    async def _list_results(self, state: int, *wished: Any) -> Answers:
        *given, most, first, _timeout = wished
        ids = {name: id_of(value) for name, value in zip(SEARCHED, given, strict=True)}
        found = [one.value() for one in self._kept.results.matching(ids, state or 0)]
        return _page(found, most, first)

    def _result(self, ident: Any) -> Result:
        found = self._kept.results.get(id_of(ident))
        if found is None:
            raise Refused(StatusCodes.BadNotFound)
        return found

    # the one configuration: the station's part of plant.yaml

    def _configuration_value(self) -> Any:
        file = self._context.settings.home.resolve() / FILE
        changed = datetime.fromtimestamp(file.stat().st_mtime, tz=self._context.now().tzinfo)
        ident = structure("ConfigurationIdDataType", Id=self._configuration)
        return structure("ConfigurationDataType", InternalId=ident, ExternalId=ident, LastModified=changed)

    async def _list_configurations(self, most: int, first: int, _timeout: Any) -> Answers:
        return _page([self._configuration_value()], most, first)

    async def _get_configuration(self, ident: Any, _timeout: Any) -> Answers:
        self._check_configuration(ident)
        return [(0, Kinds.UInt32), (self._configuration_value(), Kinds.ExtensionObject), *done()]

    async def _activate_configuration(self, ident: Any) -> Answers:
        self._check_configuration(ident)
        return done()

    def _check_configuration(self, ident: Any) -> None:
        if id_of(ident) != self._configuration:
            raise Refused(StatusCodes.BadNotFound)


def _page(found: list[Any], most: int | None, first: int | None) -> Answers:
    """Is that all, how many, a handle that means nothing here, and the list, as the standard's queries answer."""
    rest = found[first or 0 :]
    told = rest[: most or None]
    complete = len(told) == len(rest)
    head = [(complete, Kinds.Boolean), (len(told), Kinds.UInt32), (0, Kinds.UInt32)]
    return [*head, (told, Kinds.ExtensionObject), *done()]


def _said(command: str, cause: Sequence[Any]) -> str:
    """What a client asked for, and why: a number and words, where it gave them."""
    why = " ".join(str(one) for one in cause if one not in (None, "", 0))
    return f"{command} by a client: {why}" if why else f"{command} by a client"
