/** The call by which a camera sends a picture, for a shell. Pure. */

type Wish = { key: string; station: string; product: string; view: string; address: string };

/** In single quotes, as a shell takes any text. */
const quoted = (value: string): string => (/^[\w.:/@=-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`);

export function command({ key, station, product, view, address }: Wish): string {
  const fields = [["image", "@picture.png"], ["part", "P-1"], ["station", station], ...(view ? [["view", view]] : []), ...(product ? [["product", product]] : [])];
  return [`curl -H 'Authorization: Bearer ${key}'`, ...fields.map(([name, value]) => `  -F ${quoted(`${name}=${value}`)}`), `  ${address}/api/v1/inspections`].join(" \\\n");
}
