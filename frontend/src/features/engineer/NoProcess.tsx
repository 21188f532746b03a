import { useHealth } from "../../api/shadow";
import { text } from "../../text";
import { Empty } from "../../ui/States";

/** There is no process: because none was ever fitted, or because the demonstration line is at its first fit. */
export function NoProcess() {
  const demonstration = useHealth().data?.components["demonstration"]?.["state"];
  const learning = demonstration === "ok" || demonstration === "starting";
  const words = text.engineer;
  return learning ? <Empty title={words.learning}>{words.learningHelp}</Empty> : <Empty title={words.none}>{words.noneHelp}</Empty>;
}
