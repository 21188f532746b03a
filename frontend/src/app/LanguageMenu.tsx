import { useState } from "react";
import { text } from "../text";
import { choose, LANGUAGES, type Language, useLanguage } from "../text/language";

/** The language of this browser. A plain list: by finger, by key, and by whoever cannot read the present one. */
export function LanguageMenu() {
  const [failed, setFailed] = useState(false);
  return (
    <span className="language">
      <select aria-label={text.everywhere.language} value={useLanguage()}
        onChange={(event) => void choose(event.currentTarget.value as Language).then(() => setFailed(false), () => setFailed(true))}>
        {Object.entries(LANGUAGES).map(([code, name]) => (
          <option key={code} value={code} lang={code}>
            {name}
          </option>
        ))}
      </select>
      {failed && <span role="alert">{text.everywhere.away}</span>}
    </span>
  );
}
