import { Suspense, useEffect } from "react";
import { Redirect, Route, Switch, useLocation } from "wouter";
import { useLiveEvents } from "../api/live";
import { useSession } from "../api/session";
import type { Who } from "../api/words";
import { InspectPage } from "../features/inspect/InspectPage";
import { LoginPage } from "../features/login/LoginPage";
import { text } from "../text";
import { useLanguage } from "../text/language";
import { Empty, Loading, waiting } from "../ui/States";
import { Guard } from "./Guard";
import { LanguageMenu } from "./LanguageMenu";
import { EngineerPage, fetchBefore, LabelPage, ModelsPage, MoneyPage, ProcessPage } from "./later";
import { pagesFor } from "./pages";
import { Shell } from "./Shell";

/** The operator's page comes first; the others of a role follow while nothing else is to do. */
export function App() {
  useLanguage(); // who speaks another language from now on sees all of this anew
  const session = useSession();
  const state = waiting(session);
  if (state) return <main className="login">{state}</main>;
  return session.data ? <Inside who={session.data} /> : <LoginPage menu={<LanguageMenu />} />;
}

function Inside({ who }: { who: Who }) {
  useLiveEvents();
  useEffect(() => fetchBefore(who.role), [who.role]);
  const [, page] = useLocation()[0].split("/");
  const may = (path: string) => pagesFor(who.role).some((page) => page.path === path);
  const only = (path: string, page: React.ReactNode) => (may(path) ? page : <Empty title={text.states.forbidden} />);
  return (
    <Shell who={who}>
      <Guard key={page}>
        <Suspense fallback={<Loading />}>
          <Switch>
            <Route path="/inspect/:id?">{({ id }) => <InspectPage id={id} />}</Route>
            <Route path="/engineer/process/:name?">{({ name }) => only("/engineer", <ProcessPage name={name} />)}</Route>
            <Route path="/engineer/:id?">{({ id }) => only("/engineer", <EngineerPage id={id} />)}</Route>
            <Route path="/labels/:tab?">{({ tab }) => only("/labels", <LabelPage at={tab} />)}</Route>
            <Route path="/models">{only("/models", <ModelsPage />)}</Route>
            <Route path="/money">{only("/money", <MoneyPage />)}</Route>
            <Route path="/">
              <Redirect to="/inspect" replace />
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
