import { lazy, Suspense } from "react";
import { Redirect, Route, Switch } from "wouter";
import { useLiveEvents } from "../api/live";
import { useSession } from "../api/session";
import type { Who } from "../api/words";
import { InspectPage } from "../features/inspect/InspectPage";
import { LoginPage } from "../features/login/LoginPage";
import { text } from "../text";
import { Empty, Loading, waiting } from "../ui/States";
import { pagesFor } from "./pages";
import { Shell } from "./Shell";

const EngineerPage = lazy(() => import("../features/engineer/EngineerPage"));
const LabelPage = lazy(() => import("../features/label/LabelPage"));
const ModelsPage = lazy(() => import("../features/train/ModelsPage"));

export function App() {
  const session = useSession();
  const state = waiting(session);
  if (state) return <main className="login">{state}</main>;
  return session.data ? <Inside who={session.data} /> : <LoginPage />;
}

function Inside({ who }: { who: Who }) {
  useLiveEvents();
  const may = (path: string) => pagesFor(who.role).some((page) => page.path === path);
  const only = (path: string, page: React.ReactNode) => (may(path) ? page : <Empty title={text.states.forbidden} />);
  return (
    <Shell who={who}>
      <Suspense fallback={<Loading />}>
        <Switch>
          <Route path="/inspect/:id?">{({ id }) => <InspectPage id={id} />}</Route>
          <Route path="/engineer/:id?">{({ id }) => only("/engineer", <EngineerPage id={id} />)}</Route>
          <Route path="/labels">{only("/labels", <LabelPage />)}</Route>
          <Route path="/models">{only("/models", <ModelsPage />)}</Route>
          <Route path="/">
            <Redirect to="/inspect" replace />
          </Route>
          <Route>
            <Empty title={text.states.notFound} />
          </Route>
        </Switch>
      </Suspense>
    </Shell>
  );
}
