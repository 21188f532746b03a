import { office } from "./en/office";
import { text, told } from "./index";
import { open } from "./language";

Object.defineProperties(text, Object.getOwnPropertyDescriptors(told(office, "")));

/** Once the words of the labellers' and engineers' pages are there in the language spoken: a station does not wait for them. */
export const ready = open("", office, {
  de: async () => (await import("./de/office")).office,
  es: async () => (await import("./es/office")).office,
  zh: async () => (await import("./zh/office")).office,
});
