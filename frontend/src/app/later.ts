import { lazy } from "react";
import { text } from "../text";
import { pagesFor } from "./pages";

/** A page's script did not come: the server is away, or has new pages since this one was opened. */
export class PageNotLoaded extends Error {}

async function loaded<T>(script: Promise<T>): Promise<T> {
  try {
    return await script;
  } catch {
    throw new PageNotLoaded(text.states.notLoaded);
  }
}

/** Pages of the office, with their words. */
async function desk<T>(scripts: Promise<T>): Promise<T> {
  const [pages, words] = await loaded(Promise.all([scripts, import("../text/desk"), import("../desk.css")]));
  await words.ready;
  return pages;
}

/** The wall screen, and what stands on top of the team leader's pages. */
async function floor<T>(scripts: Promise<T>): Promise<T> {
  const [pages, words] = await loaded(Promise.all([scripts, import("../text/floor")]));
  await words.ready;
  return pages;
}

/** Looking for something by its name, for whoever is logged in. */
const search = () => floor(Promise.all([import("../features/search/SearchPage"), import("../desk.css")]));

/** One's own account. */
const account = () => floor(Promise.all([import("../features/login/AccountPage"), import("../desk.css")]));

/** What the operator's station does not need, by the address under which it is found. */
const LATER = {
  "/calls": () => desk(floor(import("../features/floor/CallsPage"))),
  "/calls/bar": () => floor(import("../features/floor/CallBar")),
  "/wall": () => floor(import("../features/floor/WallPage")),
  "/engineer": () => desk(Promise.all([import("../features/engineer/EngineerPage"), import("../features/engineer/ProcessPage")])),
  "/engineer/more": () => desk(Promise.all([import("../features/engineer/BatchPage"), import("../features/engineer/RecipePage"), import("../features/engineer/SavingsPage")])),
  "/records": () => desk(Promise.all([import("../features/report/RecordsPage"), import("../features/report/PartReport")])),
  "/start": () => desk(Promise.all([import("../features/guide/GuidePage"), import("../features/guide/GuideBar")])),
  "/labels": () => desk(import("../features/label/LabelPage")),
  "/money": () => desk(import("../features/money/MoneyPage")),
  "/models": () => desk(import("../features/train/ModelsPage")),
  "/admin": () =>
    loaded(
      import("../features/admin/AdminPage").then(async (page) => {
        await page.ready;
        return page;
      }),
    ),
};

export const CallsPage = lazy(async () => ({ default: (await LATER["/calls"]()).CallsPage }));
export const CallBar = lazy(async () => ({ default: (await LATER["/calls/bar"]()).CallBar }));
export const SearchPage = lazy(async () => ({ default: (await search())[0].SearchPage }));
export const AccountPage = lazy(async () => ({ default: (await account())[0].AccountPage }));
export const WallPage = lazy(async () => ({ default: (await LATER["/wall"]()).WallPage }));
export const EngineerPage = lazy(async () => ({ default: (await LATER["/engineer"]())[0].EngineerPage }));
export const ProcessPage = lazy(async () => ({ default: (await LATER["/engineer"]())[1].ProcessPage }));
export const BatchPage = lazy(async () => ({ default: (await LATER["/engineer/more"]())[0].BatchPage }));
export const RecipePage = lazy(async () => ({ default: (await LATER["/engineer/more"]())[1].RecipePage }));
export const SavingsPage = lazy(async () => ({ default: (await LATER["/engineer/more"]())[2].SavingsPage }));
export const RecordsPage = lazy(async () => ({ default: (await LATER["/records"]())[0].RecordsPage }));
export const PartReport = lazy(async () => ({ default: (await LATER["/records"]())[1].PartReport }));
export const GuidePage = lazy(async () => ({ default: (await LATER["/start"]())[0].GuidePage }));
export const GuideBar = lazy(async () => ({ default: (await LATER["/start"]())[1].GuideBar }));
export const LabelPage = lazy(async () => ({ default: (await LATER["/labels"]()).LabelPage }));
export const MoneyPage = lazy(async () => ({ default: (await LATER["/money"]()).MoneyPage }));
export const ModelsPage = lazy(async () => ({ default: (await LATER["/models"]()).ModelsPage }));
export const AdminPage = lazy(async () => ({ default: (await LATER["/admin"]()).AdminPage }));
export const LoginPage = lazy(async () => ({ default: (await loaded(import("../features/login/LoginPage"))).LoginPage }));

/** So long after the first page, in ms, the others of a role are fetched: its pictures come first. */
const QUIET_MS = 1_500;

/** Fetch what a role may open before it is asked for, so that it opens also while the server is away. Returns how to stop. */
export function fetchBefore(role: string): () => void {
  const wait = setTimeout(() => {
    for (const { path } of pagesFor(role)) {
      if (path in LATER) LATER[path as keyof typeof LATER]().catch(() => undefined); // told when the page is opened
    }
  }, QUIET_MS);
  return () => clearTimeout(wait);
}
