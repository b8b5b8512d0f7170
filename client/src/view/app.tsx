/** The whole page. */

import { useEffect, useState } from "preact/hooks";
import { commandOf, labelIndexOf } from "../model/hotkeys";
import type { State } from "../model/state";
import type { Workbench } from "../work/workbench";
import { IconButton } from "./button";
import { ExportDialog } from "./export_dialog";
import { Gallery } from "./gallery";
import { Header } from "./header";
import { HelpSheet } from "./help_sheet";
import { JobDialog } from "./job_list";
import { LabelPanel } from "./label_panel";
import { SettingsDialog } from "./settings_dialog";
import { SkipDialog } from "./skip_dialog";
import { Failed, SignIn, Starting } from "./sign_in";
import { Stage } from "./stage";
import { ToolRail } from "./tool_rail";
import { Tour } from "./tour";
import { TrainDialog } from "./train_dialog";
import { ViewPanel } from "./view_panel";

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function App({ bench }: { readonly bench: Workbench }) {
  const state = useStore(bench);
  useEffect(() => {
    if (state.theme === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = state.theme;
  }, [state.theme]);
  useEffect(() => listenToKeys(bench), [bench]);
  return (
    <>
      <Page bench={bench} state={state} />
      <LostBanner state={state} />
      <Notes bench={bench} state={state} />
      <p class="spoken" role="status" aria-live="polite">
        {state.spoken}
      </p>
    </>
  );
}

function Page({ bench, state }: Props) {
  if (state.phase === "starting") return <Starting state={state} />;
  if (state.phase === "signed-out") return <SignIn bench={bench} state={state} />;
  if (state.phase === "failed") return <Failed state={state} />;
  return (
    <div
      class="bench"
      data-drawer={state.drawer ?? "none"}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        const files = [...(event.dataTransfer?.files ?? [])];
        bench.do(() => bench.gallery.upload(files));
      }}
    >
      <Header bench={bench} state={state} />
      <Gallery bench={bench} state={state} />
      <ToolRail bench={bench} state={state} />
      <Stage bench={bench} state={state} />
      <aside class="panel" aria-label="Labels and view">
        <LabelPanel bench={bench} state={state} />
        <ViewPanel bench={bench} state={state} />
      </aside>
      <Dialogs bench={bench} state={state} />
      {state.tour === null ? null : <Tour bench={bench} step={state.tour} />}
    </div>
  );
}

function Dialogs({ bench, state }: Props) {
  switch (state.dialog) {
    case "export":
      return <ExportDialog bench={bench} state={state} />;
    case "help":
      return <HelpSheet bench={bench} />;
    case "jobs":
      return <JobDialog bench={bench} state={state} />;
    case "settings":
      return <SettingsDialog bench={bench} state={state} />;
    case "skip":
      return <SkipDialog bench={bench} state={state} />;
    case "train":
      return <TrainDialog bench={bench} state={state} />;
    default:
      return null;
  }
}

function LostBanner({ state }: { readonly state: State }) {
  if (state.lost === null) return null;
  const when = state.lost === 0 ? "Trying now …" : `Trying again in ${state.lost} s.`;
  return (
    <div class="banner" role="alert">
      <b>The server does not answer.</b> Nothing accepted is lost; clicks and strokes are sent when
      it is back. If it ended, start <code>medprism annotate</code> again. <span>{when}</span>
    </div>
  );
}

function Notes({ bench, state }: Props) {
  return (
    <div class="notes" role="log" aria-label="Messages">
      {state.notes.map(({ id, kind, text }) => (
        <div key={id} class={`note note-${kind}`}>
          <span>{text}</span>
          <IconButton
            icon="close"
            label="Close the message"
            tip="left"
            size={16}
            onClick={() => bench.desk.store.dispatch({ type: "note-gone", id })}
          />
        </div>
      ))}
    </div>
  );
}

/** Render once a frame, however often the state changes. */
function useStore(bench: Workbench): State {
  const [state, setState] = useState(bench.desk.state);
  useEffect(() => {
    let frame = 0;
    const update = () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => setState(bench.desk.state));
    };
    update();
    const stop = bench.desk.store.listen(update);
    return () => {
      stop();
      cancelAnimationFrame(frame);
    };
  }, [bench]);
  return state;
}

function listenToKeys(bench: Workbench): () => void {
  const onKeyDown = (event: KeyboardEvent) => {
    const { phase, dialog } = bench.desk.state;
    if (event.defaultPrevented || phase !== "ready" || (dialog !== null && !isClosing())) return;
    if (event.key === "Escape") {
      bench.setDrawer(null);
      return;
    }
    if (isTyping(event.target)) return;
    const index = labelIndexOf(event);
    const label = index === null ? undefined : bench.desk.state.labels[index];
    const command = commandOf(event);
    if (label === undefined && command === null) return;
    event.preventDefault();
    if (label !== undefined) bench.do(() => bench.labelling.choose(label.name));
    else if (command !== null) bench.run(command);
  };
  window.addEventListener("keydown", onKeyDown);
  return () => window.removeEventListener("keydown", onKeyDown);
}

/** The browser has closed the dialog, and the event that says so is still on its way. */
function isClosing(): boolean {
  return document.querySelector("dialog:not([open])") !== null;
}

function isTyping(target: EventTarget | null): boolean {
  if (target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement) return true;
  const typed = ["text", "search", "password", "number"];
  return target instanceof HTMLInputElement && typed.includes(target.type);
}
