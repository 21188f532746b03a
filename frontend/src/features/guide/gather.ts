/** Which files make which part: `PART__VIEW.png` are views of one part, else the file's name is the part's. Pure. */

export type Named = { readonly name: string };
export type Gathered<F extends Named> = { part: string; files: { file: F; view: string }[] };

const PICTURE = /\.(png|jpe?g|bmp|tiff?)$/i;

/** The server takes names of parts of so many characters. */
const LONGEST = 128;

/** Files as parts, in the order of their names; and how many were no pictures. Hidden files are not counted. */
export function gather<F extends Named>(files: readonly F[]): { parts: Gathered<F>[]; others: number } {
  const seen = files.filter((file) => !file.name.startsWith("."));
  const pictures = seen.filter((file) => PICTURE.test(file.name)).toSorted((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  const parts = new Map<string, Gathered<F>>();
  for (const file of pictures) {
    const [part = "", view = ""] = file.name.replace(PICTURE, "").split("__", 2);
    const name = part.slice(0, LONGEST);
    const found = parts.get(name) ?? { part: name, files: [] };
    found.files.push({ file, view });
    parts.set(name, found);
  }
  return { parts: [...parts.values()], others: seen.length - pictures.length };
}
