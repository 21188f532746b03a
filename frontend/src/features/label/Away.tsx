import { useHealth } from "../../api/shadow";
import { Served } from "../../ui/Served";

/** Label Studio does not answer, in the server's words; nothing while it does, or where it is switched off. */
export function Away() {
  const studio = useHealth().data?.components["label-studio"];
  if (!studio || studio["state"] === "ok" || typeof studio["message"] !== "string" || !studio["message"]) return null;
  return (
    <p className="problem" role="status">
      <Served text={studio["message"]} />
    </p>
  );
}
