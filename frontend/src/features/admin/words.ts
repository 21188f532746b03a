import { told } from "../../text";
import type { Text } from "../../text/dictionary";
import { admin } from "../../text/en/admin";
import { open } from "../../text/language";

/** What this page says, in the reader's language. */
export const words = told(admin, "admin.") as Text<typeof admin>;

/** Once the words are there in the language spoken. */
export const ready = open("admin", admin, {
  de: async () => (await import("../../text/de/admin")).admin,
  es: async () => (await import("../../text/es/admin")).admin,
  zh: async () => (await import("../../text/zh/admin")).admin,
});
