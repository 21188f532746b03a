import { useEffect, useState } from "react";
import { useLocation, useSearch } from "wouter";
import { type Filter, useInspection, useInspections, usePrefetch } from "../../api/inspections";
import { text } from "../../text";
import { Empty, waiting } from "../../ui/States";
import { useKeys } from "../../ui/useKeys";
import { InspectionList } from "./InspectionList";
import { KeyHelp } from "./KeyHelp";
import { PartPanel } from "./PartPanel";

/** The operator's page. `/inspect` follows the line; `/inspect/ID` stays on one part, `/inspect/ID?defect=2` on its second defect. */
export function InspectPage({ id }: { id?: string | undefined }) {
  const [, go] = useLocation();
  const [filter, setFilter] = useState<Filter>({});
  const [help, setHelp] = useState(false);
  const list = useInspections(filter);
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  const following = id === undefined;
  const chosen = id ?? items[0]?.id;
  const shown = useInspection(chosen);
  const prefetch = usePrefetch();
  const place = items.findIndex((item) => item.id === chosen);

  const choose = (next: string) => go(`/inspect/${next}`, { replace: !following });
  const step = (by: 1 | -1) => {
    const next = items[Math.max(0, place + by)];
    if (next) choose(next.id);
    if (place + by > items.length - 5 && list.hasNextPage && !list.isFetching) void list.fetchNextPage();
  };
  const pointed = Number(new URLSearchParams(useSearch()).get("defect")) || null;
  const point = (number: number | null) => chosen && go(`/inspect/${chosen}${number === null ? "" : `?defect=${number}`}`, { replace: !following });
  const neighbours = [items[place - 1]?.id, items[place + 1]?.id].filter((one) => one !== undefined);
  useEffect(() => prefetch(neighbours), [neighbours.join()]);
  useKeys({
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    l: () => (following ? chosen && choose(chosen) : go("/inspect")),
    "?": () => setHelp(true),
  });

  const state = waiting(list);
  if (state) return state;
  return (
    <div className="inspect">
      <InspectionList
        items={items}
        chosen={chosen}
        choose={choose}
        filter={filter}
        setFilter={setFilter}
        following={following}
        follow={(yes) => (yes ? go("/inspect") : chosen && choose(chosen))}
        newer={Math.max(0, place)}
        more={list.hasNextPage ? () => void list.fetchNextPage() : null}
      />
      {chosen === undefined ? (
        <Empty title={text.inspect.emptyTitle}>{text.inspect.empty}</Empty>
      ) : (
        (waiting(shown) ?? (shown.data && <PartPanel inspection={shown.data} busy={() => following && choose(chosen)} look={choose} pointed={pointed} point={point} />))
      )}
      <button type="button" className="help" onClick={() => setHelp(true)} aria-label={text.everywhere.keys}>
        ?
      </button>
      <KeyHelp opened={help} close={() => setHelp(false)} />
    </div>
  );
}
