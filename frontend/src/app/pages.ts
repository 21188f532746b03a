import { text } from "../text";

export type Page = { path: string; /** As the menu says it, in the language spoken. */ name: () => string; roles: readonly string[] };

/** Who works where. The server decides what a role may do; this decides what it is shown. */
const PAGES: readonly Page[] = [
  { path: "/inspect", name: () => text.pages.inspect, roles: ["operator", "leader", "labeller", "engineer", "admin"] },
  { path: "/calls", name: () => text.pages.calls, roles: ["leader", "engineer", "admin"] },
  { path: "/wall", name: () => text.pages.wall, roles: ["operator", "leader", "labeller", "engineer", "admin"] },
  { path: "/engineer", name: () => text.pages.engineer, roles: ["engineer", "admin"] },
  { path: "/records", name: () => text.pages.records, roles: ["engineer", "admin"] },
  { path: "/labels", name: () => text.pages.label, roles: ["labeller", "engineer", "admin"] },
  { path: "/money", name: () => text.pages.money, roles: ["engineer", "admin"] },
  { path: "/models", name: () => text.pages.train, roles: ["engineer", "admin"] },
  { path: "/admin", name: () => text.pages.admin, roles: ["engineer", "admin"] },
];

export const pagesFor = (role: string): Page[] => PAGES.filter((page) => page.roles.includes(role));
