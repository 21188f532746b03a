import { PasswordInput, type PasswordInputProps } from "@mantine/core";
import { text } from "../text";

/** A field for a password, whose eye says in the reader's language what it does. */
export function Password(props: PasswordInputProps) {
  return <PasswordInput visibilityToggleButtonProps={{ "aria-label": text.everywhere.showPassword }} {...props} />;
}
