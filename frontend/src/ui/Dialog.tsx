import type { ModalProps } from "@mantine/core";
import { lazy, Suspense, useEffect } from "react";

/** So long after a page, in ms, what draws windows is fetched: it opens also while the server is away. */
const QUIET_MS = 1_000;
/** While nobody answers, it is asked for again every so many ms. */
const AGAIN_MS = 3_000;

let coming: Promise<typeof import("./modal")> | undefined;

async function patiently(): Promise<typeof import("./modal")> {
  for (;;) {
    try {
      return await import("./modal");
    } catch {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

const load = () => (coming ??= patiently());
const Modal = lazy(load);

/** A window over the page. Its script is no part of the first load. */
export function Dialog(props: ModalProps) {
  useEffect(() => {
    const wait = setTimeout(() => void load(), QUIET_MS);
    return () => clearTimeout(wait);
  }, []);
  return <Suspense>{(props.opened || coming) && <Modal {...props} />}</Suspense>;
}
