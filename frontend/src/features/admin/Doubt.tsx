import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useState } from "react";
import { Limit } from "./RuleForm";
import { DAY_S, type Doubt as Rules, USUAL_S, withStation } from "./rules";
import { words } from "./words";

type Props = { rules: Rules; /** Of this product's pictures: offered, others may be typed. */ stations: readonly string[]; set: (rules: Rules) => void };

/** How long a call to the team leader waits, and how the part stands when nobody came. */
export function Doubt({ rules, stations, set }: Props) {
  const [fresh, setFresh] = useState("");
  const own = Object.entries(rules.stations ?? {});
  const named = words.products.doubt;
  const limits = { shown: true, least: 1, most: DAY_S };
  const name = fresh.trim();
  const add = () => {
    set(withStation(rules, name, rules.seconds ?? USUAL_S));
    setFresh("");
  };
  return (
    <>
      <p className="quiet">{named.help}</p>
      <div className="inline">
        <Limit {...limits} label={named.seconds} value={rules.seconds ?? USUAL_S} set={(seconds) => set({ ...rules, seconds })} />
        <NativeSelect size="xs" label={named.nobody} value={rules.then ?? "ng"} data={(["ng", "review"] as const).map((value) => ({ value, label: named.stands[value] }))}
          // oxlint-disable-next-line unicorn/no-thenable -- the file's own word
          onChange={(event) => set({ ...rules, then: event.currentTarget.value as "ng" | "review" })} />
      </div>
      {own.map(([station, seconds]) => (
        <div key={station} className="inline">
          <Limit {...limits} label={named.secondsAt({ station })} value={seconds} set={(value) => set(withStation(rules, station, value))} />
          <Button size="xs" variant="default" aria-label={`${words.remove}: ${station}`} onClick={() => set(withStation(rules, station, null))}>
            {words.remove}
          </Button>
        </div>
      ))}
      <div className="inline">
        <TextInput size="xs" label={named.station} list="doubt-stations" maxLength={64} value={fresh} onChange={(event) => setFresh(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Enter" && name && (event.preventDefault(), add())} />
        <datalist id="doubt-stations">
          {stations.filter((one) => !(one in (rules.stations ?? {}))).map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
        <Button size="xs" variant="default" disabled={!name} onClick={add}>
          {words.add}
        </Button>
      </div>
    </>
  );
}
