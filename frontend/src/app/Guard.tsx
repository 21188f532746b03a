import { Component, type ReactNode } from "react";
import { Failure } from "../ui/States";

/** Keeps the frame standing when a page breaks: says what happened and offers to draw the page again. */
export class Guard extends Component<{ children: ReactNode }, { error: unknown }> {
  override state = { error: null as unknown };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return <Failure error={this.state.error} retry={() => this.setState({ error: null })} />;
  }
}
