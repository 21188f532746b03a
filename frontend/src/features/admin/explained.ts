import i18next from "i18next";
import type { Setting } from "../../api/admin";

/** What a setting is for: in the reader's language where that has it, else in the server's own words. */
export const explained = (setting: Pick<Setting, "name" | "description">): string =>
  i18next.t(`admin.setting.${setting.name}`, { defaultValue: setting.description });
