import { expect, it } from "vitest";
import { Outbox, type Sent, type Word } from "./outbox";
import { uuid7 } from "./uuid7";

const word = (id: string, inspection = id, more: Partial<Word> = {}): Word => ({ id, inspection, part: "P", verdict: "ok", reason: "", by: "mia", ...more }) as Word;

function computer() {
  const kept = new Map<string, string>();
  return { getItem: (name: string) => kept.get(name) ?? null, setItem: (name: string, value: string) => void kept.set(name, value) };
}

it("what was said while nobody answered is sent in its order once somebody does, and survives a restart of the page", async () => {
  const store = computer();
  const before = new Outbox(store);
  for (const id of ["1", "2", "3"]) before.keep(word(id));
  await before.send("mia", async () => "later");
  const after = new Outbox(store);
  const got: string[] = [];
  await after.send("mia", async ({ id }) => (got.push(id), { taken: true }));
  expect([got, after.all(), new Outbox(store).all()]).toEqual([["1", "2", "3"], [], []]);
});

it("a word goes on being sent under its one id until the server has said that it has it", async () => {
  const box = new Outbox(computer());
  box.keep(word("1"));
  const answers: Sent[] = ["later", "later", { taken: true }];
  const got: string[] = [];
  for (let n = 0; n < 4; n += 1) await box.send("mia", async ({ id }) => (got.push(id), answers.shift() ?? "later"));
  expect(got).toEqual(["1", "1", "1"]);
});

it("a newer word takes the place of one that waits; what is refused stays for a person to see; words are sent by who said them", async () => {
  const box = new Outbox(computer());
  box.keep(word("1", "part"));
  box.keep(word("2", "part"));
  box.keep(word("3", "part", { by: "ben" }));
  expect(box.all().map(({ id }) => id)).toEqual(["2", "3"]);
  await box.send("mia", async () => ({ refused: "erased" }));
  await box.send("mia", async () => ({ taken: true }));
  expect(box.all().map(({ id, refused }) => [id, refused])).toEqual([["2", "erased"], ["3", undefined]]);
});

it("a word that is taken back is sent before the word that takes it back, and a new one takes the place of both", async () => {
  const box = new Outbox(computer());
  box.keep(word("1", "part"));
  box.keep(word("2", "part", { kind: "undo", of: "1" }));
  box.keep(word("3", "other"));
  expect(box.all().map(({ id }) => id)).toEqual(["1", "2", "3"]);
  box.keep(word("4", "part", { kind: "call" }));
  expect(box.all().map(({ id }) => id)).toEqual(["3", "4"]);
});

it("ids sort by their moment and have the version and the variant of RFC 9562", () => {
  const all = new Uint8Array(10).fill(255);
  expect(uuid7(0x0123456789ab, all)).toBe("01234567-89ab-7fff-bfff-ffffffffffff");
  expect(uuid7(1, new Uint8Array(10))).toBe("00000000-0001-7000-8000-000000000000");
  expect(uuid7(1000, all) < uuid7(1001, new Uint8Array(10))).toBe(true);
});
