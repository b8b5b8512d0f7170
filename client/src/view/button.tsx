/** Buttons that say their name and their key. */

import type { ComponentChildren } from "preact";
import { type Command, keyText } from "../model/hotkeys";
import { Icon, type IconName } from "./icon";

interface IconButtonProps {
  readonly icon: IconName;
  readonly label: string;
  readonly command?: Command;
  readonly isPressed?: boolean;
  readonly isDisabled?: boolean;
  readonly badge?: string | null;
  readonly class?: string;
  readonly size?: number;
  readonly id?: string;
  readonly tip?: "right" | "below" | "above" | "left";
  readonly onClick: () => void;
}

export function IconButton(props: IconButtonProps) {
  const key = props.command === undefined ? "" : keyText(props.command);
  return (
    <button
      type="button"
      id={props.id}
      class={`icon-button ${props.class ?? ""}`}
      aria-label={props.label}
      aria-pressed={props.isPressed}
      aria-keyshortcuts={key === "" ? undefined : key.replace("Ctrl", "Control")}
      disabled={props.isDisabled === true}
      data-tip={key === "" ? props.label : `${props.label}  ${key}`}
      data-tip-side={props.tip ?? "below"}
      onClick={props.onClick}
    >
      <Icon name={props.icon} size={props.size ?? 20} />
      {props.badge ? <span class="badge">{props.badge}</span> : null}
    </button>
  );
}

export function Key({ children }: { readonly children: ComponentChildren }) {
  return <kbd>{children}</kbd>;
}
