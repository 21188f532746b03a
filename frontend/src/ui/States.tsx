import { Button, Loader } from "@mantine/core";
import type { ReactNode } from "react";
import { ApiError } from "../api/client";
import { text } from "../text";
import { Served } from "./Served";

export function Loading() {
  return (
    <div className="state" role="status">
      <Loader size="sm" color="gray" />
      <p>{text.states.loading}</p>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="state">
      <h2>{title}</h2>
      {children && <p>{children}</p>}
    </div>
  );
}

/** What went wrong, in the server's words, and the way on. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const away = error instanceof ApiError && (error.status === 0 || error.status >= 502);
  return (
    <div className="state" role="alert">
      <h2>{away ? text.connection.away : text.states.failed}</h2>
      <p>
        <Served text={error instanceof Error ? error.message : String(error)} />
      </p>
      {retry && (
        <Button variant="default" onClick={retry}>
          {text.states.retry}
        </Button>
      )}
    </div>
  );
}

type Asked = { isPending: boolean; isError: boolean; error: unknown; data: unknown; refetch: () => unknown };

/** Loading, failed, or nothing to say: the honest state of a question; null when there is data to show. */
export function waiting(asked: Asked): ReactNode {
  if (asked.data !== undefined) return null; // old data is better than none; the connection light says how old
  if (asked.isError) return <Failure error={asked.error} retry={() => void asked.refetch()} />;
  return <Loading />;
}
