import type { en } from "./en";

/**
 * Sentences are plain strings. `{{name}}` is where a value goes, and a name that ends in `_one`, `_many` or `_other` is one
 * of the forms that a language has for a count, as Unicode's rules for plurals name them. So translators need no program.
 */
type Leaves = string | readonly unknown[] | { readonly [name: string]: Leaves };

/** The names of the places where values go. */
type Places<S> = S extends `${string}{{${infer Name}}}${infer Rest}` ? Name | Places<Rest> : never;

/** A sentence as the pages use it: itself, or what makes it of its values. Numbers are written as the language writes them. */
type Sentence<S> = [Places<S>] extends [never] ? string : (values: { readonly [N in Places<S>]: N extends "count" ? number : string | number }) => string;

/** Forms for a count are one sentence to whoever uses them. */
type Name<K> = K extends `${string}_one` ? never : K extends `${infer Base}_other` ? Base : K;

export type Text<D> = { readonly [K in keyof D as Name<K>]: D[K] extends string ? Sentence<D[K]> : D[K] extends readonly unknown[] ? Words<D[K]> : Text<D[K]> };

type Words<A> = { readonly [I in keyof A]: A[I] extends string ? string : Words<A[I]> };

/** Another language's dictionary: the same names, forms for a count aside. That it has the same places, a test says. */
type Like<D> = { readonly [K in Exclude<keyof D, `${string}_one`>]: Said<D[K]> } & { readonly [K in Extract<keyof D, `${string}_one`> as Forms<K>]?: string };
type Forms<K> = K extends `${infer Base}_one` ? K | `${Base}_many` : never;
type Said<L> = L extends string ? string : L extends readonly unknown[] ? Words<L> : Like<L>;

export type English = typeof en;
export type Dictionary = Like<English>;
/** A part of a dictionary, by the file of the English one that it speaks for. */
export type Part<D> = Like<D>;
export type { Leaves };
