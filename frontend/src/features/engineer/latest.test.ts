import { expect, it, vi } from "vitest";
import { latest, PATIENCE_MS } from "./latest";

/** A server that answers when it is told to. */
function slow() {
  const open: { wish: number; answer: () => void; signal: AbortSignal }[] = [];
  const ask = (wish: number, signal: AbortSignal) =>
    new Promise<number>((resolve, reject) => {
      open.push({ wish, answer: () => resolve(wish), signal });
      signal.addEventListener("abort", () => reject(new DOMException("given up", "AbortError")));
    });
  return { open, ask };
}

const never = () => {
  throw new Error("this was not to be told");
};
const settled = () => new Promise((resolve) => setTimeout(resolve));

it("while a question is under way only the newest wish waits, and those between are never asked", async () => {
  const { open, ask } = slow();
  const told: number[] = [];
  const line = latest(ask, (answer) => told.push(answer), never);
  for (const wish of [1, 2, 3, 4]) line.wish(wish);
  open[0]?.answer();
  await settled();
  open[1]?.answer();
  await settled();
  expect([open.map((one) => one.wish), told]).toEqual([[1, 4], [1, 4]]);
});

it("an answer that takes too long is given up for a newer wish, but not the first one", async () => {
  vi.useFakeTimers();
  const { open, ask } = slow();
  const told: number[] = [];
  const line = latest(ask, (answer) => told.push(answer), never);
  line.wish(1);
  line.wish(2);
  await vi.advanceTimersByTimeAsync(10 * PATIENCE_MS);
  expect(open.length).toBe(1);
  open[0]?.answer();
  await vi.advanceTimersByTimeAsync(0);
  line.wish(3);
  await vi.advanceTimersByTimeAsync(PATIENCE_MS);
  expect(open.map((one) => [one.wish, one.signal.aborted])).toEqual([[1, false], [2, true], [3, false]]);
  open[2]?.answer();
  await vi.advanceTimersByTimeAsync(0);
  expect(told).toEqual([1, 3]);
  vi.useRealTimers();
});

it("what was stopped says nothing any more", async () => {
  const { open, ask } = slow();
  const line = latest(ask, never, never);
  line.wish(1);
  line.wish(2);
  line.stop();
  await settled();
  expect([open.length, open[0]?.signal.aborted]).toEqual([1, true]);
});

it("a refusal is told, and the next wish is asked all the same", async () => {
  const said: unknown[] = [];
  const line = latest((wish: number): Promise<number> => (wish === 1 ? Promise.reject(new Error("no such setting")) : Promise.resolve(wish)), (answer) => said.push(answer), (error) => said.push(String(error)));
  line.wish(1);
  await settled();
  line.wish(2);
  await settled();
  expect(said).toEqual(["Error: no such setting", 2]);
});
