import type { Part } from "../dictionary";
import type { floor as en } from "../en/floor";

/** Lo que dicen la página del jefe de equipo y la pantalla mural. */
export const floor: Part<typeof en> = {
  calls: {
    title: "Llamadas de los puestos",
    none: "Nadie tiene dudas",
    noneHelp: "En cuanto alguien llame desde un puesto, aparece aquí con el tiempo que queda.",
    bar: "Alguien tiene dudas",
    unsure: "{{by}} tiene dudas",
    answer: "Responder",
    ok: "Está OK",
    ng: "No está OK",
    look: "Ver la pieza",
    otherwise: { ng: "después cuenta como no OK", review: "después queda apartada" },
    past: "Antes",
    state: { open: "abierta", answered: "{{verdict}}, según {{by}}", withdrawn: "retirada", expired: "nadie vino: {{verdict}}" },
  },
  wall: {
    back: "Inspeccionar",
    others: "Puestos",
    state: { fault: "Fallo de cámara", call: "Llamada", alarm: "Alarma", running: "En marcha", quiet: "Sin piezas", never: "Aún nada" },
    hour: "piezas en la última hora",
    bad: "no OK",
    review: "por revisar",
    last: "última pieza {{ago}}",
    mode: { shadow: "solo observa", advise: "solo aconseja" },
    trend: "Parte no OK, grupos de {{size}}",
    trendIs: "Parte no OK en grupos de {{size}} piezas: ahora {{now}}, habitual {{usual}}, límites {{lower}} a {{upper}}",
    limit: "límite {{limit}}",
    usual: "habitual {{usual}}",
    learning: "Aprende lo habitual: {{n}} de {{all}} piezas",
    filling: "El primer grupo aún no está completo",
    camera: "{{view}}: {{fault}}",
    more_one: "{{count}} más",
    more_many: "{{count}} de más",
    more_other: "{{count}} más",
    calls: "Esperan al jefe de equipo",
    old: "No en directo: las cifras pueden ser antiguas",
    empty: "Ningún puesto ha enviado aún una pieza",
  },
};
