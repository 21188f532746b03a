import { QueryClient } from "@tanstack/react-query";
import { afterEach, expect, it, vi } from "vitest";
import { listen } from "./live";

let stop = () => {};
afterEach(() => {
  stop();
  vi.unstubAllGlobals();
});

/** A stream whose events the test makes, and the lists that became old by each. */
function stream(...lists: string[]) {
  const source = new EventTarget();
  vi.stubGlobal("EventSource", function () {
    return Object.assign(source, { close: () => {} });
  });
  const queries = new QueryClient();
  for (const list of lists) queries.setQueryData([list], "as it was");
  stop = listen(queries);
  const old = () => lists.filter((list) => queries.getQueryState([list])?.isInvalidated);
  return { old, tell: (kind: string, data: object) => source.dispatchEvent(new MessageEvent(kind, { data: JSON.stringify(data) })) };
}

it("a job that goes on makes the list of jobs old, and one that ended what jobs make", async () => {
  const { tell, old } = stream("jobs", "backups", "people");
  tell("job", { state: "running" });
  await vi.waitFor(() => expect(old()).toEqual(["jobs"]));
  tell("job", { state: "done" });
  await vi.waitFor(() => expect(old()).toEqual(["jobs", "backups"]));
});

it("an erasure shows among what was erased, and another mode of a station on its page", async () => {
  const { tell, old } = stream("erasures", "stations", "backups");
  tell("erasure", { id: "1" });
  await vi.waitFor(() => expect(old()).toEqual(["erasures"]));
  tell("station", { id: "A" });
  await vi.waitFor(() => expect(old()).toEqual(["erasures", "stations"]));
});
