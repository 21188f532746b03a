import { useEffect } from "react";

/** Of an element: so much of it out of sight counts as lost. */
const LOST = 0.5;

/** What a person scrolls with. A scroll by itself says nothing: the browser scrolls, too, to what gets the focus. */
const BY_HAND = ["wheel", "touchmove", "pointerdown"] as const;

/** So long after it, in ms, the page may still glide. */
const GLIDES_MS = 500;

/** Keeps what the keyboard is at in sight when something else moves it, as an alarm that comes above it does; who scrolls away from it is left alone. */
export function useFocusInSight(): void {
  useEffect(() => {
    let byHand = -Infinity;
    let inSight = false;
    const watched = new IntersectionObserver(
      ([seen]) => {
        const lost = !seen || seen.intersectionRatio < LOST;
        if (lost && inSight && performance.now() - byHand > GLIDES_MS) seen?.target.scrollIntoView({ block: "nearest", inline: "nearest" });
        inSight = !lost;
      },
      { threshold: LOST },
    );
    const arrive = ({ target }: FocusEvent) => {
      watched.disconnect();
      inSight = false;
      if (target instanceof Element && target.matches(":focus-visible")) watched.observe(target);
    };
    const leave = () => watched.disconnect();
    const scroll = () => {
      byHand = performance.now();
    };
    document.addEventListener("focusin", arrive);
    document.addEventListener("focusout", leave);
    for (const kind of BY_HAND) document.addEventListener(kind, scroll, { capture: true, passive: true });
    return () => {
      watched.disconnect();
      document.removeEventListener("focusin", arrive);
      document.removeEventListener("focusout", leave);
      for (const kind of BY_HAND) document.removeEventListener(kind, scroll, { capture: true });
    };
  }, []);
}
