import type { ReactNode } from "react";

/** A figure that tells how it was made to whoever opens it: by finger, mouse or keyboard alike. */
export function Hint({ children, how, className = "" }: { children: ReactNode; how: string; className?: string }) {
  return (
    <details className={`hint ${className}`}>
      <summary>{children}</summary>
      <p>{how}</p>
    </details>
  );
}
