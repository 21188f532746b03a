import { Link } from "wouter";
import { words } from "../../text/desk";

export type Tab = keyof Omit<typeof words.tabs, "title">;

const TABS: readonly Tab[] = ["parts", "batches", "process", "recipe", "savings"];

const address = (tab: Tab, name: string | undefined): string => {
  if (tab === "parts") return "/engineer";
  return name ? `/engineer/${tab}/${encodeURIComponent(name)}` : `/engineer/${tab}`;
};

/** From one of the engineer's pages to the others, of the same process. */
export function Tabs({ at, name }: { at: Tab; name?: string | undefined }) {
  return (
    <nav className="tabs" aria-label={words.tabs.title}>
      {TABS.map((tab) => (
        <Link key={tab} href={address(tab, name)} aria-current={tab === at ? "page" : undefined}>
          {words.tabs[tab]}
        </Link>
      ))}
    </nav>
  );
}
