/** Asking while somebody moves something: only the newest wish matters. Knows no page and no server. */

/**
 * A question under way for so many ms is given up for a newer one: it hangs. Not sooner: on a busy server, where each answer
 * takes 300 ms, nothing at all would be seen while the hand moves.
 */
export const PATIENCE_MS = 1000;

export type Line<Wish> = {
  /** Ask this next; a wish that waited is forgotten. */
  wish: (wish: Wish) => void;
  /** Give up what is under way, and ask no more. */
  stop: () => void;
};

/**
 * One question is under way at a time, the newest waits, those between are never asked: a server that needs 30 ms for an
 * answer is asked thirty times a second, not as often as the hand moves. The first question is waited for however long it
 * takes, because the server has to plan before it can compare; later ones are given up after `PATIENCE_MS`.
 */
export function latest<Wish, Answer>(
  ask: (wish: Wish, signal: AbortSignal) => Promise<Answer>,
  told: (answer: Answer, wish: Wish) => void,
  failed: (error: unknown) => void,
): Line<Wish> {
  let waits: { wish: Wish } | null = null;
  let under: AbortController | null = null;
  let late: ReturnType<typeof setTimeout> | undefined;
  let answered = false;
  let over = false;

  const next = async (wish: Wish): Promise<void> => {
    const mine = (under = new AbortController());
    try {
      const answer = await ask(wish, mine.signal);
      answered = true;
      if (!over && !mine.signal.aborted) told(answer, wish);
    } catch (error) {
      if (!over && !mine.signal.aborted) failed(error);
    }
    clearTimeout(late);
    late = undefined;
    under = null;
    if (over || waits === null) return;
    const { wish: following } = waits;
    waits = null;
    void next(following);
  };

  return {
    wish(wish) {
      if (over) return;
      if (under === null) {
        void next(wish);
        return;
      }
      waits = { wish };
      if (answered) late ??= setTimeout(() => under?.abort(), PATIENCE_MS);
    },
    stop() {
      over = true;
      clearTimeout(late);
      under?.abort();
    },
  };
}
