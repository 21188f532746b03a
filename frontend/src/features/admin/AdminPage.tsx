import { SegmentedControl } from "@mantine/core";
import { useLocation } from "wouter";
import { useSession } from "../../api/session";
import { Backup } from "./Backup";
import { Connections } from "./Connections";
import { Erasures } from "./Erasures";
import { People } from "./People";
import { Products } from "./Products";
import { SettingsForm } from "./SettingsForm";
import { Stations } from "./Stations";
import { Trail } from "./Trail";
import { words } from "./words";

export { ready } from "./words";

/** What an engineer looks after; an administrator looks after all of it. */
const ENGINEERS = ["products", "stations", "connections"] as const;
const TABS = ["products", "stations", "people", "settings", "connections", "trail", "backup", "erasures"] as const;
type Tab = (typeof TABS)[number];

const SHOWN: Record<Tab, () => React.ReactNode> = {
  products: () => <Products />,
  stations: () => <Stations />,
  people: () => <People />,
  settings: () => <SettingsForm />,
  connections: () => <Connections />,
  trail: () => <Trail />,
  backup: () => <Backup />,
  erasures: () => <Erasures />,
};

/** Everything that is set up once and looked after from then on. */
export function AdminPage({ at }: { at: string | undefined }) {
  const [, go] = useLocation();
  const tabs: readonly Tab[] = useSession().data?.role === "admin" ? TABS : ENGINEERS;
  const tab = tabs.find((one) => one === at) ?? "products";
  return (
    <div className="page admin">
      <h1>{words.title}</h1>
      <SegmentedControl value={tab} onChange={(one) => go(`/admin/${one}`)} aria-label={words.which} data={tabs.map((value) => ({ value, label: words.tabs[value] }))} />
      {SHOWN[tab]()}
    </div>
  );
}
