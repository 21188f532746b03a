import createClient from "openapi-fetch";
import { connection } from "./connection";
import { text } from "../text";
import { served } from "../text/said";
import type { paths } from "./schema";

/** What the server said instead of an answer; status 0: it said nothing. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** `fetch` that tells the connection light whether anybody answered. */
async function watched(request: Request): Promise<Response> {
  try {
    const response = await fetch(request);
    connection.toldTime(response.headers.get("date"));
    connection.answered(![502, 503, 504].includes(response.status));
    return response;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    connection.answered(false);
    throw new ApiError(0, text.everywhere.away);
  }
}

/** Typed calls; `X-QC` tells the server that a page of its own asks, which no other site can send. */
export const api = createClient<paths>({ baseUrl: "/", fetch: watched, headers: { "X-QC": "1" } });

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** The answer, or an ApiError with the server's own sentence. */
export async function told<T>(call: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await call;
  if (response.ok) return data as T;
  const sentence = (error as { error?: { message?: unknown } } | undefined)?.error?.message;
  throw new ApiError(response.status, typeof sentence === "string" ? served(sentence).text : text.everywhere.answered({ status: String(response.status) }));
}
