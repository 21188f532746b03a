import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useState } from "react";
import { useSearch } from "wouter";
import { type Product, useChangeProduct, useProduct, useProductNames } from "../../api/admin";
import { waiting } from "../../ui/States";
import { Doubt } from "./Doubt";
import { Limit, RuleForm } from "./RuleForm";
import { type Content, type Costs, tidy } from "./rules";
import { Said } from "./Said";
import { Scale } from "./Scale";
import { words } from "./words";
import { Zones } from "./Zones";
import { Served } from "../../ui/Served";

const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/;

/** A product's verdict rules, zones, scale and costs; `?product=NAME` is that one's. */
export function Products() {
  const names = useProductNames();
  const [chosen, choose] = useState(new URLSearchParams(useSearch()).get("product") ?? "");
  const [fresh, setFresh] = useState("");
  const name = chosen || names.data?.items[0] || "";
  const product = useProduct(name);
  return (
    <>
      <div className="inline">
        <NativeSelect label={words.products.which} value={name} data={[...new Set([...(names.data?.items ?? []), ...(name ? [name] : [])])]} onChange={(event) => choose(event.currentTarget.value)} />
        <form className="inline" onSubmit={(event) => (event.preventDefault(), choose(fresh), setFresh(""))}>
          <TextInput label={words.products.fresh} description={words.products.freshHelp} value={fresh} onChange={(event) => setFresh(event.currentTarget.value)} />
          <Button type="submit" variant="default" disabled={!NAME.test(fresh)}>
            {words.add}
          </Button>
        </form>
      </div>
      {waiting(names) ?? waiting(product)}
      {product.data && <Editor key={`${name} ${product.data.read}`} product={product.data} />}
    </>
  );
}

function Editor({ product }: { product: Product }) {
  const [content, setContent] = useState<Content>((product.content ?? {}) as Content);
  const change = useChangeProduct();
  const set = (part: Partial<Content>) => setContent({ ...content, ...part });
  if (product.content === null) return <p className="problem">{words.products.unreadable}</p>;
  const classes = content.classes ?? {};
  const open = product.classes.filter((name) => !(name in classes));
  const money = content.money ?? null;
  return (
    <form onSubmit={(event) => (event.preventDefault(), change.mutate({ name: product.name, read: product.read, content: tidy(content) }))}>
      {product.problem && (
        <p role="alert" className="problem">
          {words.products.problem} <Served text={product.problem} />
        </p>
      )}
      <section className="panel" aria-label={words.products.usual}>
        <h2>{words.products.usual}</h2>
        <RuleForm name={words.products.usual} rule={content.default ?? {}} set={(rule) => set({ default: rule })} />
      </section>
      <section className="panel" aria-label={words.products.classes}>
        <h2>{words.products.classes}</h2>
        {Object.entries(classes).map(([name, rule]) => (
          <div key={name} className="class-row">
            <strong>{name}</strong>
            <RuleForm name={name} rule={rule} set={(next) => set({ classes: { ...classes, [name]: next } })} />
            <Button size="xs" variant="default" aria-label={`${words.remove}: ${name}`} onClick={() => set({ classes: Object.fromEntries(Object.entries(classes).filter(([one]) => one !== name)) })}>
              {words.remove}
            </Button>
          </div>
        ))}
        <div className="inline">
          {open.map((name) => (
            <Button key={name} size="xs" variant="default" onClick={() => set({ classes: { ...classes, [name]: { ng: {}, review: {} } } })}>
              {words.products.own({ name })}
            </Button>
          ))}
        </div>
      </section>
      <section className="panel" aria-label={words.products.zones}>
        <h2>{words.products.zones}</h2>
        <Zones content={content} views={product.views} classes={product.classes} set={(zones) => set({ zones })} />
      </section>
      <section className="panel" aria-label={words.products.scale}>
        <h2>{words.products.scale}</h2>
        <Scale content={content} views={product.views} setScale={(mm_per_px) => set({ mm_per_px })} setDepth={(camera_bits) => set({ camera_bits })} />
      </section>
      <section className="panel" aria-label={words.products.money}>
        <h2>{words.products.money}</h2>
        <div className="inline">
          <TextInput size="xs" w={90} label={words.products.currency} value={money?.currency ?? ""} maxLength={8} onChange={(event) => set({ money: costs(money, { currency: event.currentTarget.value.toUpperCase() }) })} />
          {(["escape", "false_reject", "review"] as const).map((what) => (
            <Limit key={what} shown label={words.products.cost[what]} value={money?.[what] ?? 0} set={(value) => set({ money: costs(money, { [what]: value }) })} />
          ))}
        </div>
        <p className="quiet">{words.products.kept}</p>
      </section>
      <section className="panel" aria-label={words.products.doubt.title}>
        <h2>{words.products.doubt.title}</h2>
        <Doubt rules={content.doubt ?? {}} stations={[...new Set(product.views.map(({ station }) => station))]} set={(doubt) => set({ doubt })} />
      </section>
      <Button type="submit" color="dark" loading={change.isPending}>
        {words.save}
      </Button>
      <Said of={change} />
    </form>
  );
}

/** Costs with a change; without a currency nobody has said what anything costs. */
function costs(money: Costs | null, change: Partial<Costs>): Costs | null {
  const next = { escape: 0, false_reject: 0, review: 0, ...money, ...change };
  return next.currency ? next : null;
}
