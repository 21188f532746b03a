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
import { LanguageMenu } from "./LanguageMenu";
import { CallBar } from "./later";
import { pagesFor } from "./pages";

/** The frame around every page: where one is, whether what one sees is live, who one is, and what is not as usual. */
export function Shell({ who, children }: { who: Who; children: ReactNode }) {
  const [location] = useLocation();
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
        <span className="connection" role="status" data-state={connection} title={text.connection[`${connection}Help`]}>
          <span aria-hidden="true">{connection === "live" ? "●" : connection === "polling" ? "◐" : "▲"}</span>
          {text.connection[connection]}
        </span>
        <span className="who">
          {who.name} <span className="quiet">{text.everywhere.role[who.role as keyof typeof text.everywhere.role] ?? who.role}</span>
        </span>
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
