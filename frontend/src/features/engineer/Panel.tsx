import type { ReactNode } from "react";
import { waiting } from "../../ui/States";

type Asked<T> = { isPending: boolean; isError: boolean; error: unknown; data: T | undefined; refetch: () => unknown };
type Props<T> = { title: string; help?: string; asked: Asked<T>; show: (data: T) => ReactNode };

/** A titled part of a page with a question of its own: it loads, fails and is tried again without the others. */
export function Panel<T>({ title, help, asked, show }: Props<T>) {
  return (
    <section className="panel" aria-label={title}>
      <h2>{title}</h2>
      {help && <p className="quiet">{help}</p>}
      {asked.data === undefined ? waiting(asked) : show(asked.data)}
    </section>
  );
}
