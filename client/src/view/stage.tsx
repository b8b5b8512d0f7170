/** The image with what belongs below it: slices, and how to finish. */

import { useEffect, useRef } from "preact/hooks";
import type { Opened, State } from "../model/state";
import { jobHere, statusOf } from "../model/state";
import type { Workbench } from "../work/workbench";
import { IconButton, Key } from "./button";
import { Icon } from "./icon";
import { KINDS } from "./job_list";
import { cursorOf, Pointing } from "./pointing";
import { SliceBar } from "./slice_bar";
import { Surface } from "./surface";

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function Stage({ bench, state }: Props) {
  const { opened } = state;
  return (
    <main class="stage" aria-label="Image">
      <div class="canvas-area" id="canvas-area" data-state={stageState(state)}>
        <ImageCanvas bench={bench} state={state} />
        {opened === null ? <Nothing bench={bench} state={state} /> : null}
        {opened?.occupied ? <InUse bench={bench} opened={opened} state={state} /> : null}
        {opened === null ? null : <Caption bench={bench} state={state} opened={opened} />}
        <JobHere bench={bench} state={state} />
        <div class={`busy ${opened?.isBusy === true ? "is-busy" : ""}`} aria-hidden="true" />
      </div>
      {opened !== null && opened.image.slices > 1 ? (
        <SliceBar bench={bench} state={state} opened={opened} />
      ) : null}
      <ActionBar bench={bench} state={state} />
    </main>
  );
}

function stageState({ opening, opened }: State): "empty" | "opening" | "in-use" | "ready" {
  if (opening !== null) return "opening";
  if (opened === null) return "empty";
  if (opened.occupied !== null) return "in-use";
  return opened.session === null ? "opening" : "ready";
}

function ImageCanvas({ bench, state }: Props) {
  const base = useRef<HTMLCanvasElement>(null);
  const marks = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (base.current === null || marks.current === null) return undefined;
    const surface = new Surface(bench, base.current, marks.current);
    const pointing = new Pointing(bench, surface, marks.current);
    bench.canvas = surface;
    return () => {
      bench.canvas = null;
      pointing.dispose();
      surface.dispose();
    };
  }, [bench]);
  const { opened } = state;
  const name = opened === null ? "No image is open" : describe(opened, state);
  return (
    <>
      <canvas ref={base} class="layer" aria-hidden="true" />
      <canvas
        ref={marks}
        class="layer marks"
        id="canvas"
        tabIndex={opened === null ? -1 : 0}
        role="application"
        aria-roledescription="image to annotate"
        aria-label={name}
        style={{ cursor: opened === null ? "default" : cursorOf(state.tool) }}
      />
    </>
  );
}

function describe({ image, slice, session }: Opened, state: State): string {
  const where = image.slices > 1 ? `, slice ${slice + 1} of ${image.slices}` : "";
  const masks = session?.labels.filter(({ pixels }) => pixels > 0).map(({ name }) => name) ?? [];
  const what = masks.length > 0 ? `Masks: ${masks.join(", ")}.` : "No masks yet.";
  const label = state.active === null ? "No label chosen." : `Label ${state.active}.`;
  return `${image.name}${where}. ${label} ${what} Arrow keys move a crosshair, Enter clicks.`;
}

function Caption({ bench, opened, state }: Props & { readonly opened: Opened }) {
  const { image } = opened;
  const status = statusOf(image, state.author);
  const size = `${image.width} × ${image.height}`;
  const parts = [image.modality, image.slices > 1 ? `${size} × ${image.slices}` : size];
  const hidden = state.masksHidden ? "Masks are hidden (V)" : null;
  return (
    <div class="caption">
      <span class="caption-name" title={image.name}>
        {image.name}
      </span>
      <span class="caption-facts">{parts.filter(Boolean).join(" · ")}</span>
      {status === "accepted" ? <span class="chip chip-good">Accepted</span> : null}
      <span class={`chip working ${opened.isBusy ? "is-busy" : ""}`} aria-hidden="true">
        Working …
      </span>
      {hidden === null ? null : (
        <button type="button" class="chip" onClick={() => bench.run("visibility")}>
          {hidden}
        </button>
      )}
    </div>
  );
}

/** Long work on this image: it can be looked at meanwhile, and stopped. */
function JobHere({ bench, state }: Props) {
  const job = jobHere(state);
  if (job === null) return null;
  const percent = job.total === 0 ? 0 : Math.round((100 * job.done) / job.total);
  const text = job.total === 0 ? "Waiting …" : `${job.done} of ${job.total} slices`;
  return (
    <div class="job-here">
      <b>{KINDS[job.kind]}</b>
      <span
        class="progress"
        role="progressbar"
        aria-label={KINDS[job.kind]}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent}
        aria-valuetext={text}
      >
        <span style={{ width: `${percent}%` }} />
      </span>
      <span class="numbers">{text}</span>
      <button
        type="button"
        class="button is-small"
        onClick={() => bench.do(() => bench.jobs.cancel(job))}
      >
        Stop
      </button>
    </div>
  );
}

function Nothing({ bench, state }: Props) {
  const { opening, isAllDone, gallery } = state;
  if (opening !== null && opening.error === null) {
    return (
      <div class="message" role="status">
        <span class="spinner" />
        <p>Opening {opening.name}</p>
      </div>
    );
  }
  if (opening !== null) {
    return (
      <div class="message" role="alert">
        <Icon name="warning" size={32} />
        <h2>{opening.name} cannot be opened</h2>
        <p>{opening.error}</p>
        <div class="row">
          <button
            type="button"
            class="button"
            onClick={() => bench.do(() => bench.opening.open(opening.id))}
          >
            Try again
          </button>
          <button type="button" class="button" onClick={() => bench.run("next")}>
            Next image
          </button>
        </div>
      </div>
    );
  }
  if (isAllDone) {
    return (
      <div class="message" role="status">
        <Icon name="accept" size={32} />
        <h2>Every image is done</h2>
        <p>Export the masks, or open any image from the list to change it.</p>
        <button
          type="button"
          class="button is-primary"
          onClick={() => bench.setDialog("export")}
        >
          Export
        </button>
      </div>
    );
  }
  return (
    <div class="message">
      <Icon name="image" size={32} />
      <h2>{gallery.total > 0 ? "Choose an image" : "No images yet"}</h2>
      <p>
        {gallery.total > 0
          ? "Open one from the list, or begin where you stopped."
          : "Drop files here, or put them into the project's folder."}
      </p>
      {gallery.total > 0 ? (
        <button type="button" class="button is-primary" onClick={() => bench.run("next")}>
          Begin <Key>N</Key>
        </button>
      ) : null}
    </div>
  );
}

function InUse({ bench, opened, state }: Props & { readonly opened: Opened }) {
  const isMine = opened.occupied?.author === state.author;
  return (
    <div class="message is-over" role="alertdialog" aria-label="Image in use">
      <Icon name="user" size={32} />
      <h2>
        {isMine
          ? "You have this image open elsewhere"
          : `${opened.occupied?.author || "Somebody"} works on this image`}
      </h2>
      <p>
        {isMine
          ? "Continue here: what you did in the other window is saved first."
          : opened.occupied?.message}
      </p>
      <div class="row">
        <button
          type="button"
          class={isMine ? "button is-primary" : "button"}
          onClick={() => bench.do(() => bench.opening.takeOver())}
        >
          {isMine ? "Continue here" : "Take over"}
        </button>
        <button
          type="button"
          class={isMine ? "button" : "button is-primary"}
          onClick={() => bench.run("next")}
        >
          Next image
        </button>
      </div>
    </div>
  );
}

function ActionBar({ bench, state }: Props) {
  const { opened } = state;
  const canWork = opened?.session != null;
  const hasMask = opened?.session?.labels.some(({ pixels }) => pixels > 0) ?? false;
  const canAccept = canWork && (hasMask || opened.absent.length > 0);
  return (
    <div class="actions" id="actions" role="group" aria-label="Finish this image">
      <span class="hint">{hintOf(state, canWork, hasMask)}</span>
      <button
        type="button"
        class="button is-quiet"
        disabled={!canWork}
        onClick={() => bench.run("skip")}
      >
        Skip <Key>K</Key>
      </button>
      <button
        type="button"
        class="button"
        id="accept"
        disabled={!canAccept}
        onClick={() => bench.run("accept")}
      >
        Accept <Key>A</Key>
      </button>
      <button
        type="button"
        class="button is-primary"
        id="accept-next"
        disabled={!canAccept}
        onClick={() => bench.run("accept.next")}
      >
        Accept, next <Key>Ctrl ↵</Key>
      </button>
      <IconButton
        icon="next"
        id="next"
        label="Next image"
        command="next"
        tip="above"
        onClick={() => bench.run("next")}
      />
    </div>
  );
}

const REFINE = "Click what is missing; right-click what is too much.";
const REFINE_BY_FINGER = "Tap what is missing; the plus turned to a minus takes away.";

/** Fingers have no right button. */
function isByFinger(): boolean {
  return window.matchMedia("(pointer: coarse)").matches;
}

/** One line on what to do now. */
function hintOf(state: State, canWork: boolean, hasMask: boolean): string {
  if (state.opened === null) return "";
  if (!canWork) return state.opened.occupied === null ? "Getting ready …" : "";
  if (state.active === null) return "Name a structure under Labels to begin.";
  const found = state.opened.session?.labels.find(({ name }) => name === state.active);
  if (found?.is_locked === true) return `${state.active} is locked; O unlocks it.`;
  const hints: Readonly<Record<State["tool"], string>> = {
    point: hasMask ? (isByFinger() ? REFINE_BY_FINGER : REFINE) : `Click on ${state.active}.`,
    box: `Draw a box around ${state.active}.`,
    scribble: `Draw a line along ${state.active}.`,
    lasso: `Draw around ${state.active}.`,
    brush: "Paint the mask itself.",
    eraser: "Wipe the mask off.",
    pan: "Drag the image.",
    window: "Drag sideways for contrast, up and down for brightness.",
  };
  return hints[state.tool];
}
