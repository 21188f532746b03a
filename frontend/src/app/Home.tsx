import { Suspense } from "react";
import { Redirect } from "wouter";
import { useFirstRun } from "../api/guide";
import { Loading } from "../ui/States";
import { Guard } from "./Guard";
import { GuideBar } from "./later";

/** Where one lands: the operator's page; an administrator of a system that is still empty in the guide. */
export function Home({ role }: { role: string }) {
  const firstRun = useFirstRun(role === "admin");
  if (role === "admin" && firstRun.isPending) return <Loading />;
  return <Redirect to={firstRun.data?.active ? "/start" : "/inspect"} replace />;
}

/** While an administrator is led through the first run: the way back to the guide, on every page. */
export function Reminder({ role }: { role: string }) {
  const active = useFirstRun(role === "admin").data?.active ?? false;
  if (!active) return null;
  return (
    <Guard>
      <Suspense>
        <GuideBar />
      </Suspense>
    </Guard>
  );
}
