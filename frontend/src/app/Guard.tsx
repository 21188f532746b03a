import { Component, type ReactNode } from "react";
import { Failure } from "../ui/States";
import { PageNotLoaded } from "./later";

/** Keeps the frame standing when a page breaks: says what happened and offers to draw the page again. */
export class Guard extends Component<{ children: ReactNode }, { error: unknown }> {
  override state = { error: null as unknown };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (error === null) return this.props.children;
    const retry = error instanceof PageNotLoaded ? reloadWhereAnswered : () => this.setState({ error: null });
    return <Failure error={error} retry={() => void retry()} />;
  }
}

/** A script that failed is not asked for again in one document; but nobody gives up what is on screen for a server that is away. */
async function reloadWhereAnswered(): Promise<void> {
  const answer = await fetch("/", { cache: "no-store" }).catch(() => null);
  if (answer?.ok) location.reload();
}
