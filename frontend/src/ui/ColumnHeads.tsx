/** The heads of a table's columns. An empty name is a column that needs none: of buttons, say. */
export function ColumnHeads({ names }: { names: readonly string[] }) {
  return (
    <thead>
      <tr>{names.map((name, place) => (name === "" ? <td key={place} /> : <th key={place} scope="col">{name}</th>))}</tr>
    </thead>
  );
}
