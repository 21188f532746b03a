import { Suspense, useEffect } from "react";
import { Route, Switch, useLocation } from "wouter";
import { useSending } from "../api/inspections";
import { useLiveEvents } from "../api/live";
import { useSession } from "../api/session";
import type { Who } from "../api/words";
import { InspectPage } from "../features/inspect/InspectPage";
import { text } from "../text";
import { toldMore, useLanguage } from "../text/language";
import { fetchSaid } from "../text/said";
import { Empty, Loading, waiting } from "../ui/States";
import { segment } from "./address";
import { Guard } from "./Guard";
import { LanguageMenu } from "./LanguageMenu";
import { Home } from "./Home";
import {
  AccountPage, AdminPage, BatchPage, CallsPage, EngineerPage, fetchBefore, GuidePage, LabelPage, LoginPage, ModelsPage, MoneyPage, PartReport, ProcessPage, RecipePage, RecordsPage, SavingsPage, SearchPage, WallPage,
} from "./later";
import { pagesFor } from "./pages";
import { Shell } from "./Shell";

/** The operator's page comes first; the others of a role follow while nothing else is to do. */
export function App() {
  const spoken = useLanguage(); // who speaks another language from now on sees all of this anew
  useEffect(() => toldMore(fetchSaid(spoken)), [spoken]);
  const session = useSession();
  const state = waiting(session);
  if (state) return <main className="login">{state}</main>;
  if (session.data) return <Inside who={session.data} />;
  return (
    <Guard>
      <Suspense fallback={<Loading />}>
        <LoginPage menu={<LanguageMenu />} />
      </Suspense>
    </Guard>
  );
}

function Inside({ who }: { who: Who }) {
  useLiveEvents();
  useSending(who.name);
  useEffect(() => fetchBefore(who.role), [who.role]);
  const [, page] = useLocation()[0].split("/");
  const may = (path: string) => pagesFor(who.role).some((page) => page.path === path);
  const named = (n: number) => segment(window.location.pathname, n);
  const only = (path: string, page: React.ReactNode) => (may(path) ? page : <Empty title={text.states.forbidden} />);
  if (page === "wall") {
    return (
      <Guard>
        <Suspense fallback={<Loading />}>
          <WallPage />
        </Suspense>
      </Guard>
    );
  }
  return (
    <Shell who={who}>
      <Guard key={page}>
        <Suspense fallback={<Loading />}>
          <Switch>
            <Route path="/inspect/:id?">{({ id }) => <InspectPage id={id} />}</Route>
            <Route path="/calls">{only("/calls", <CallsPage />)}</Route>
            <Route path="/engineer/process/:name?">{only("/engineer", <ProcessPage name={named(3)} />)}</Route>
            <Route path="/engineer/batches/:name?/:batch?">{only("/engineer", <BatchPage name={named(3)} batch={named(4)} />)}</Route>
            <Route path="/engineer/recipe/:name?">{only("/engineer", <RecipePage name={named(3)} />)}</Route>
            <Route path="/engineer/savings/:name?">{only("/engineer", <SavingsPage name={named(3)} />)}</Route>
            <Route path="/records/part/:part">{only("/records", <PartReport key={named(3)} part={named(3) ?? ""} />)}</Route>
            <Route path="/records">{only("/records", <RecordsPage />)}</Route>
            <Route path="/search">
              <SearchPage />
            </Route>
            <Route path="/account">
              <AccountPage />
            </Route>
            <Route path="/start">{who.role === "admin" ? <GuidePage /> : <Empty title={text.states.forbidden} />}</Route>
            <Route path="/engineer/:id?">{({ id }) => only("/engineer", <EngineerPage id={id} />)}</Route>
            <Route path="/labels/:tab?">{({ tab }) => only("/labels", <LabelPage at={tab} />)}</Route>
            <Route path="/models/:id?">{only("/models", <ModelsPage id={named(2)} />)}</Route>
            <Route path="/money">{only("/money", <MoneyPage />)}</Route>
            <Route path="/admin/:tab?">{({ tab }) => only("/admin", <AdminPage at={tab} />)}</Route>
            <Route path="/">
              <Home role={who.role} />
            </Route>
            <Route>
              <Empty title={text.states.notFound} />
            </Route>
          </Switch>
        </Suspense>
      </Guard>
    </Shell>
  );
}
