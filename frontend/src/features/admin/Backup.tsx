import { Button } from "@mantine/core";
import { useBackupJobs, useBackups, useMakeBackup, useRemoveBackup } from "../../api/admin";
import { dayAndTime, fixed } from "../../ui/format";
import { waiting } from "../../ui/States";
import { Remove } from "./Remove";
import { words } from "./words";
import { Served } from "../../ui/Served";

/** Which backups there are, one more, and how one is put back. */
export function Backup() {
  const backups = useBackups();
  const last = useBackupJobs().data?.items[0];
  const make = useMakeBackup();
  const remove = useRemoveBackup();
  const running = last?.state === "waiting" || last?.state === "running";
  const state = waiting(backups);
  if (state) return state;
  const { folder = "", same_disk = false, pictures_elsewhere = null, items = [] } = backups.data ?? {};
  const problem = make.error ?? remove.error;
  return (
    <section className="panel" aria-label={words.tabs.backup}>
      <Button color="dark" loading={make.isPending} disabled={running} onClick={() => make.mutate(undefined)}>
        {words.backup.make}
      </Button>
      {running && (
        <p role="status">
          {words.backup.running} <Served text={last.message} />
        </p>
      )}
      {last?.state === "failed" && (
        <p role="alert" className="problem">
          {words.backup.failed} <Served text={last.problem ?? ""} />
        </p>
      )}
      {problem && (
        <p role="alert" className="problem">
          {problem.message}
        </p>
      )}
      <p className="quiet">{words.backup.where({ folder })}</p>
      {same_disk && <p className="note">{words.backup.sameDisk}</p>}
      {pictures_elsewhere && <p className="note">{words.backup.picturesElsewhere({ place: pictures_elsewhere })}</p>}
      {items.length === 0 && <p>{words.backup.none}</p>}
      {items.length > 0 && (
        <table className="table">
          <tbody>
            {items.map((one) => (
              <tr key={one.name}>
                <th scope="row">{dayAndTime(one.made_at)}</th>
                <td>{words.backup.holds({ inspections: one.inspections, files: one.files, size: fixed(one.megabytes, 1) })}</td>
                <td>
                  <Remove name={dayAndTime(one.made_at)} remove={() => remove.mutate(one.name)} busy={remove.isPending} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <p className="quiet">{words.backup.restore({ folder: items[0] ? `${folder}/${items[0].name}` : folder })}</p>
    </section>
  );
}
