import { Redirect, Route, Switch, useLocation } from "wouter";
import { useLiveEvents } from "../api/live";
import { useSession } from "../api/session";
import type { Who } from "../api/words";
import { EngineerPage } from "../features/engineer/EngineerPage";
import { ProcessPage } from "../features/engineer/ProcessPage";
import { InspectPage } from "../features/inspect/InspectPage";
import { LabelPage } from "../features/label/LabelPage";
import { LoginPage } from "../features/login/LoginPage";
import { MoneyPage } from "../features/money/MoneyPage";
import { ModelsPage } from "../features/train/ModelsPage";
import { text } from "../text";
import { Empty, waiting } from "../ui/States";
import { Guard } from "./Guard";
import { pagesFor } from "./pages";
import { Shell } from "./Shell";

/** Every page comes with the first one: a station must show all of them also while the server is away. */
export function App() {
  const session = useSession();
  const state = waiting(session);
  if (state) return <main className="login">{state}</main>;
  return session.data ? <Inside who={session.data} /> : <LoginPage />;
}

function Inside({ who }: { who: Who }) {
  useLiveEvents();
  const [, page] = useLocation()[0].split("/");
  const may = (path: string) => pagesFor(who.role).some((page) => page.path === path);
  const only = (path: string, page: React.ReactNode) => (may(path) ? page : <Empty title={text.states.forbidden} />);
  return (
    <Shell who={who}>
      <Guard key={page}>
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
      </Guard>
    </Shell>
  );
}
