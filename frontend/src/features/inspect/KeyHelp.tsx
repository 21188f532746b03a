import { text } from "../../text";
import { Dialog } from "../../ui/Dialog";

export function KeyHelp({ opened, close }: { opened: boolean; close: () => void }) {
  return (
    <Dialog opened={opened} onClose={close} title={text.everywhere.keys} closeButtonProps={{ "aria-label": text.everywhere.close }}>
      <dl className="keys">
        {text.inspect.keys.map(([key, does]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
