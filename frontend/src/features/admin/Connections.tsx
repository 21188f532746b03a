import { Button } from "@mantine/core";
import { useConnections, useTryConnection } from "../../api/admin";
import { milliseconds } from "../../ui/format";
import { waiting } from "../../ui/States";
import { Deliveries } from "./Deliveries";
import { words } from "./words";
import { Served } from "../../ui/Served";

/** Every other system, each with a button that asks it now. */
export function Connections() {
  const connections = useConnections();
  return (
    <>
      <p className="quiet">{words.connections.help}</p>
      {waiting(connections)}
      {connections.data?.items.map((one) => (
        <One key={one.name} name={one.name} kind={one.kind as keyof typeof words.connections.kind} to={one.to} />
      ))}
      <Deliveries />
    </>
  );
}

function One({ name, kind, to }: { name: string; kind: keyof typeof words.connections.kind; to: string }) {
  const trial = useTryConnection();
  const called = kind === "webhook" || kind === "mqtt" ? `${words.connections.kind[kind]} ${name}` : words.connections.kind[kind];
  return (
    <article className="model">
      <header>
        <strong>{called}</strong>
        <code className="quiet">{to}</code>
        <Button size="xs" variant="default" loading={trial.isPending} onClick={() => trial.mutate(name)}>
          {words.connections.test({ name: called })}
        </Button>
      </header>
      {trial.data?.ok && <p role="status">{words.connections.ok({ time: milliseconds(trial.data.elapsed_ms) })}</p>}
      {trial.data?.ok === false && (
        <p role="alert" className="problem">
          {words.connections.failed} <Served text={trial.data.problem} />
        </p>
      )}
      {trial.error && (
        <p role="alert" className="problem">
          {trial.error.message}
        </p>
      )}
    </article>
  );
}
