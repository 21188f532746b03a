import { Button, Paper, TextInput } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { useLogIn, useWaysIn } from "../../api/session";
import { text } from "../../text";
import { Password } from "../../ui/Password";

export function LoginPage({ menu }: { menu: ReactNode }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const logIn = useLogIn();
  const ways = useWaysIn().data;
  const [refused] = useState(() => new URLSearchParams(window.location.search).get("login"));
  const words = text.login;
  return (
    <main className="login">
      <Paper component="form" withBorder p="xl" w={360}
        onSubmit={(event) => {
          event.preventDefault();
          logIn.mutate({ name, password });
        }}
      >
        <h1>{text.product}</h1>
        {ways?.notice && (
          <p role="note" className="note" style={{ whiteSpace: "pre-line" }}>
            {ways.notice}
          </p>
        )}
        <TextInput label={words.name} autoComplete="username" autoFocus required value={name}
          onChange={(event) => setName(event.currentTarget.value)} />
        <Password mt="sm" label={words.password} autoComplete="current-password" required value={password}
          onChange={(event) => setPassword(event.currentTarget.value)} />
        {logIn.error && (
          <p role="alert" className="problem">
            {logIn.error.message}
          </p>
        )}
        <Button mt="md" type="submit" fullWidth color="dark" loading={logIn.isPending}>
          {words.submit}
        </Button>
        {ways?.oidc && (
          <Button mt="sm" component="a" href="/api/v1/session/oidc" fullWidth variant="default">
            {words.company}
          </Button>
        )}
        {refused !== null && !logIn.error && (
          <p role="alert" className="problem">
            {refused === "not_allowed" ? words.noRole : words.refused}
          </p>
        )}
        <p className="quiet">{words.hint}</p>
        {menu}
      </Paper>
    </main>
  );
}
