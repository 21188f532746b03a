import { TextInput } from "@mantine/core";
import { useEffect, useState } from "react";
import { Link, useLocation, useSearch as useAddress } from "wouter";
import { type Hit, useSearch } from "../../api/search";
import { words } from "../../text/floor";
import { shortId } from "../../ui/format";
import { waiting } from "../../ui/States";

const KINDS = ["part", "inspection", "model", "batch", "station", "product", "class", "person"] as const;

/** Finds whatever has a name and a page; what is asked stands in the address. */
export function SearchPage() {
  const [, go] = useLocation();
  const asked = (new URLSearchParams(useAddress()).get("q") ?? "").trim();
  const [typed, setTyped] = useState(asked);
  const found = useSearch(asked);
  useEffect(() => setTyped(asked), [asked]);
  const said = words.search;
  const hits = found.data ?? [];
  return (
    <div className="page search">
      <h1>{said.title}</h1>
      <form role="search" className="inline" onSubmit={(event) => (event.preventDefault(), go(`/search?q=${encodeURIComponent(typed.trim())}`, { replace: true }))}>
        <TextInput type="search" label={said.field} description={said.help} value={typed} maxLength={128} autoFocus w={420} onChange={(event) => setTyped(event.currentTarget.value)} />
      </form>
      {asked !== "" && waiting(found)}
      {found.data && hits.length === 0 && <p role="status">{said.none({ asked })}</p>}
      {KINDS.filter((kind) => hits.some((hit) => hit.kind === kind)).map((kind) => (
        <section key={kind} className="panel" aria-label={said.kind[kind]}>
          <h2>{said.kind[kind]}</h2>
          <ul className="readings">
            {hits.filter((hit) => hit.kind === kind).map((hit) => (
              <li key={`${hit.name} ${hit.id}`}>
                <Link href={addressOf(hit)}>{hit.kind === "model" ? shortId(hit.name) : hit.name}</Link>
                {hit.kind === "batch" && <span className="quiet"> {hit.id}</span>}
              </li>
            ))}
          </ul>
        </section>
      ))}
    </div>
  );
}

/** Where it is shown. */
function addressOf({ kind, name, id }: Hit): string {
  if (kind === "model") return `/models/${encodeURIComponent(id)}`;
  if (kind === "batch") return `/engineer/batches/${encodeURIComponent(id)}/${encodeURIComponent(name)}`;
  if (kind === "product") return `/admin/products?product=${encodeURIComponent(name)}`;
  if (kind === "class") return `/labels/book?class=${encodeURIComponent(name)}`;
  if (kind === "person") return "/admin/people";
  if (kind === "station") return `/records?station=${encodeURIComponent(name)}`;
  return `/inspect/${id}`;
}
