import { useEffect } from "react";

/** Of an element: so much of it out of sight counts as lost. */
const LOST = 0.5;

/** Keeps what the keyboard is at in sight when something else moves it, as an alarm that comes above it does; who scrolls away from it is left alone. */
export function useFocusInSight(): void {
  useEffect(() => {
    let scrolled = false;
    let inSight = false;
    const watched = new IntersectionObserver(
      ([seen]) => {
        const lost = !seen || seen.intersectionRatio < LOST;
        if (lost && inSight && !scrolled) seen?.target.scrollIntoView({ block: "nearest", inline: "nearest" });
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
      scrolled = true; // a frame scrolls, then asks for animation, then tells what is in sight: it is forgotten in the next
      requestAnimationFrame(() => requestAnimationFrame(() => (scrolled = false)));
    };
    document.addEventListener("focusin", arrive);
    document.addEventListener("focusout", leave);
    document.addEventListener("scroll", scroll, { capture: true, passive: true });
    return () => {
      watched.disconnect();
      document.removeEventListener("focusin", arrive);
      document.removeEventListener("focusout", leave);
      document.removeEventListener("scroll", scroll, { capture: true });
    };
  }, []);
}
