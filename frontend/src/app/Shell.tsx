import { Button } from "@mantine/core";
import { type ReactNode, Suspense } from "react";
import { Link, useLocation } from "wouter";
import { useConnection } from "../api/connection";
import { useLogOut } from "../api/session";
import type { Who } from "../api/words";
import { AlarmBar } from "../features/watch/AlarmBar";
import { OutboxBar } from "../features/watch/OutboxBar";
import { text } from "../text";
import { Reminder } from "./Home";
import { useFocusInSight } from "../ui/useFocusInSight";
import { useKeys } from "../ui/useKeys";
import { LanguageMenu } from "./LanguageMenu";
import { CallBar } from "./later";
import { pagesFor } from "./pages";

/** The frame around every page: where one is, whether what one sees is live, who one is, and what is not as usual. */
export function Shell({ who, children }: { who: Who; children: ReactNode }) {
  const [location, go] = useLocation();
  useKeys({ "/": () => go("/search") });
  useFocusInSight();
  const logOut = useLogOut();
  const connection = useConnection();
  return (
    <div className="shell">
      <header className="top">
        <span className="brand">{text.product}</span>
        <nav aria-label={text.everywhere.pages}>
          {pagesFor(who.role).map((page) => (
            <Link key={page.path} href={page.path} aria-current={location.startsWith(page.path) ? "page" : undefined}>
              {page.name()}
            </Link>
          ))}
        </nav>
        <Link href="/search" className="look-for" aria-label={text.everywhere.search} title={text.everywhere.search} aria-current={location === "/search" ? "page" : undefined}>
          <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
            <path d="M13 13l5 5M14.5 8.5a6 6 0 1 1-12 0a6 6 0 0 1 12 0z" />
          </svg>
        </Link>
        <span className="connection" role="status" data-state={connection} title={text.connection[`${connection}Help`]}>
          <span aria-hidden="true">{connection === "live" ? "●" : connection === "polling" ? "◐" : "▲"}</span>
          {text.connection[connection]}
        </span>
        <Link href="/account" className="who">
          {who.name} <span className="quiet">{text.everywhere.role[who.role as keyof typeof text.everywhere.role] ?? who.role}</span>
        </Link>
        <LanguageMenu />
        <Button variant="subtle" color="gray" size="compact-sm" onClick={() => logOut.mutate()}>
          {text.login.out}
        </Button>
      </header>
      <OutboxBar />
      <AlarmBar />
      {pagesFor(who.role).some(({ path }) => path === "/calls") && (
        <Suspense>
          <CallBar />
        </Suspense>
      )}
      <Reminder role={who.role} />
      <main>{children}</main>
    </div>
  );
}
