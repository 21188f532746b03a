import { describe, expect, it } from "vitest";

const sources = import.meta.glob("../**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true }) as Record<
  string,
  string
>;

const importsOf = (text: string) => [...text.matchAll(/(?:from|import\()\s*"([^"]+)"/g)].map((found) => found[1] ?? "");

describe("the folders", () => {
  it("are read by this test", () => expect(Object.keys(sources).length).toBeGreaterThan(30));

  it("keep features apart: none imports another", () => {
    const wrong = Object.entries(sources).flatMap(([file, text]) => {
      const own = /\.\.\/features\/(\w+)\//.exec(file)?.[1];
      if (!own) return [];
      return importsOf(text)
        .filter((path) => path.startsWith("../") && !/^\.\.\/\.\.\/(api|geometry|viewer|ui|text)\b/.test(path))
        .map((path) => `${file} imports ${path}`);
    });
    expect(wrong).toEqual([]);
  });

  it("keep the geometry pure: it imports only itself", () => {
    const wrong = Object.entries(sources)
      .filter(([file]) => file.startsWith("./") && !file.endsWith(".test.ts"))
      .flatMap(([file, text]) => importsOf(text).filter((path) => !path.startsWith("./")).map((path) => `${file}: ${path}`));
    expect(wrong).toEqual([]);
  });
});
