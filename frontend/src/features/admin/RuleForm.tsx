import { Button, NativeSelect, TextInput } from "@mantine/core";
import { type ClassRule, freeSizes, kindOf, type Rule, type Size } from "./rules";
import { words } from "./words";

type Props = { name: string; rule: ClassRule; set: (rule: ClassRule) => void };

/** When a defect of a class is not good, and when a person looks. */
export function RuleForm({ name, rule, set }: Props) {
  return (
    <div className="class-rule">
      {(["ng", "review"] as const).map((which) => (
        <One key={which} label={`${words.products[which]}: ${name}`} shown={words.products[which]} rule={rule[which] ?? {}} set={(next) => set({ ...rule, [which]: next })} />
      ))}
    </div>
  );
}

function One({ label, shown, rule, set }: { label: string; shown: string; rule: Rule; set: (rule: Rule) => void }) {
  const sizes = rule === "never" ? {} : rule;
  const kinds = ["never", "any", "limits"] as const;
  const begin = (kind: (typeof kinds)[number]): Rule => (kind === "never" ? "never" : kind === "any" ? {} : { length_px: 10 });
  return (
    <fieldset aria-label={label}>
      <NativeSelect size="xs" label={shown} value={kindOf(rule)} data={kinds.map((value) => ({ value, label: words.products.when[value] }))}
        onChange={(event) => set(begin(event.currentTarget.value as (typeof kinds)[number]))} />
      {(Object.entries(sizes) as [Size, number][]).map(([size, least]) => (
        <span key={size} className="inline">
          <NativeSelect size="xs" aria-label={words.products.measure} value={size} data={[size, ...freeSizes(sizes)].map((value) => ({ value, label: words.products.size[value] }))}
            onChange={(event) => set(renamed(sizes, size, event.currentTarget.value as Size))} />
          <Limit label={`${words.products.limit} (${words.products.size[size]}): ${label}`} value={least} set={(value) => set({ ...sizes, [size]: value })} />
          <Button size="compact-xs" variant="subtle" color="gray" aria-label={`${words.remove}: ${words.products.size[size]}`} onClick={() => set(without(sizes, size))}>
            ×
          </Button>
        </span>
      ))}
      {kindOf(rule) === "limits" && freeSizes(sizes).length > 0 && (
        <Button size="compact-xs" variant="subtle" color="gray" onClick={() => set({ ...sizes, [freeSizes(sizes)[0] as Size]: 0 })}>
          {words.products.addLimit}
        </Button>
      )}
    </fieldset>
  );
}

/** A number of at least 0, or what else is said; what is no number is not taken. */
export function Limit({ label, value, set, shown = false, least = 0, most }: { label: string; value: number; set: (value: number) => void; shown?: boolean; least?: number; most?: number }) {
  return (
    <TextInput size="xs" miw={90} type="number" min={least} max={most} step="any" {...(shown ? { label } : { "aria-label": label })} value={value}
      onChange={(event) => {
        const next = event.currentTarget.valueAsNumber;
        if (next >= 0) set(next);
      }} />
  );
}

const without = (sizes: Partial<Record<Size, number>>, size: Size) => Object.fromEntries(Object.entries(sizes).filter(([name]) => name !== size));

const renamed = (sizes: Partial<Record<Size, number>>, from: Size, to: Size) => Object.fromEntries(Object.entries(sizes).map(([name, value]) => [name === from ? to : name, value]));
