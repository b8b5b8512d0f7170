/** A window above the page; the browser keeps the focus inside and closes it with Escape. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { IconButton } from "./button";

interface Props {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
  readonly isWide?: boolean;
}

export function Dialog({ title, onClose, children, isWide }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
    // Else the button that closes would have the focus, and show its tip.
    const first = dialog.current?.querySelector<HTMLElement>("[autofocus]") ?? dialog.current;
    first?.focus();
  }, []);
  return (
    <dialog
      ref={dialog}
      tabIndex={-1}
      class={isWide === true ? "dialog is-wide" : "dialog"}
      aria-labelledby="dialog-title"
      onClose={onClose}
      onClick={(event) => {
        if (event.target === dialog.current) dialog.current?.close();
      }}
    >
      <div class="dialog-body">
        <header>
          <h2 id="dialog-title">{title}</h2>
          <IconButton
            icon="close"
            label="Close"
            tip="left"
            onClick={() => dialog.current?.close()}
          />
        </header>
        {children}
      </div>
    </dialog>
  );
}
