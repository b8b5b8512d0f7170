/** Everything the client shows, and how it changes: one pure function. */

import type {
  Answer,
  Checkpoint,
  ImageDetail,
  ImageEntry,
  ImageState,
  Job,
  Label,
  Masks,
  Project,
  Reference,
  SessionState,
} from "../server/shapes";
import * as history from "./history";
import type { Span } from "./intensity";
import type { Tool } from "./tools";

export type Phase = "starting" | "signed-out" | "ready" | "failed";
export type Expert = "none" | "probability" | "disagreement";
export type Dialog = "export" | "help" | "jobs" | "settings" | "skip" | "train";
export type Drawer = "images" | "labels";
export type Theme = "system" | "light" | "dark";
export type Filter = ImageState | "all";

export interface Look {
  readonly isVisible: boolean;
  readonly opacity: number;
}

export const LOOK: Look = { isVisible: true, opacity: 0.4 };

export interface Occupied {
  readonly author: string;
  readonly message: string;
}

/** The image on the canvas. `session` is null until the right to work on it is there. */
export interface Opened {
  readonly image: ImageDetail;
  readonly session: SessionState | null;
  readonly occupied: Occupied | null;
  readonly slice: number;
  readonly masks: Masks;
  readonly history: history.History;
  readonly span: Span;
  /** Names of labels that the next acceptance says are not on this image. */
  readonly absent: readonly string[];
  readonly visited: readonly number[];
  readonly isBusy: boolean;
  /** The job that works on this image, if one was started since it was opened. */
  readonly job: number | null;
}

export interface Opening {
  readonly id: number;
  readonly name: string;
  readonly error: string | null;
}

export interface Gallery {
  readonly entries: readonly ImageEntry[];
  readonly total: number;
  readonly query: string;
  readonly filter: Filter;
  readonly isLoading: boolean;
  readonly suggestions: readonly ImageEntry[];
}

export interface Note {
  readonly id: number;
  readonly kind: "info" | "good" | "bad";
  readonly text: string;
}

export interface State {
  readonly phase: Phase;
  readonly failure: string | null;
  /** Seconds to the next try while the server is lost, else null. */
  readonly lost: number | null;
  readonly project: Project | null;
  readonly author: string;
  readonly gallery: Gallery;
  readonly opening: Opening | null;
  readonly opened: Opened | null;
  readonly isAllDone: boolean;
  readonly labels: readonly Label[];
  readonly active: string | null;
  readonly looks: Readonly<Record<string, Look>>;
  readonly masksHidden: boolean;
  readonly references: Readonly<Record<string, readonly Reference[]>>;
  readonly jobs: readonly Job[];
  readonly checkpoints: readonly Checkpoint[];
  readonly tool: Tool;
  readonly isPositive: boolean;
  readonly radius: number;
  readonly expert: Expert;
  readonly dialog: Dialog | null;
  readonly drawer: Drawer | null;
  readonly theme: Theme;
  readonly tour: number | null;
  readonly notes: readonly Note[];
  readonly spoken: string;
}

export const INITIAL: State = {
  phase: "starting",
  failure: null,
  lost: null,
  project: null,
  author: "",
  gallery: {
    entries: [],
    total: 0,
    query: "",
    filter: "all",
    isLoading: false,
    suggestions: [],
  },
  opening: null,
  opened: null,
  isAllDone: false,
  labels: [],
  active: null,
  looks: {},
  masksHidden: false,
  references: {},
  jobs: [],
  checkpoints: [],
  tool: "point",
  isPositive: true,
  radius: 6,
  expert: "none",
  dialog: null,
  drawer: null,
  theme: "system",
  tour: null,
  notes: [],
  spoken: "",
};

export type Action =
  | { readonly type: "set"; readonly change: Partial<State> }
  | { readonly type: "gallery"; readonly change: Partial<Gallery> }
  | { readonly type: "image-changed"; readonly image: ImageEntry }
  | { readonly type: "opened"; readonly opened: Opened }
  | { readonly type: "session"; readonly state: SessionState }
  | { readonly type: "opened-changed"; readonly change: Partial<Opened> }
  | { readonly type: "slice"; readonly slice: number }
  | {
      readonly type: "masks";
      readonly slice: number;
      readonly revision: number;
      readonly masks: Masks;
    }
  | { readonly type: "begin"; readonly mark: history.Mark | null }
  | { readonly type: "answer"; readonly step: number | null; readonly answer: Answer }
  | { readonly type: "refused"; readonly step: number }
  | { readonly type: "stepped"; readonly direction: "undo" | "redo"; readonly answer: Answer }
  | { readonly type: "labels"; readonly labels: readonly Label[] }
  | { readonly type: "look"; readonly label: string; readonly change: Partial<Look> }
  | {
      readonly type: "references";
      readonly label: string;
      readonly references: readonly Reference[];
    }
  | { readonly type: "job"; readonly job: Job }
  | { readonly type: "note"; readonly note: Note }
  | { readonly type: "note-gone"; readonly id: number };

const KEPT_NOTES = 3;

export function reduce(state: State, action: Action): State {
  switch (action.type) {
    case "set":
      return { ...state, ...action.change };
    case "gallery":
      return { ...state, gallery: { ...state.gallery, ...action.change } };
    case "image-changed":
      return changeImage(state, action.image);
    case "opened":
      return opened(state, action.opened);
    case "labels":
      return changeLabels(state, action.labels);
    case "look":
      return changeLook(state, action.label, action.change);
    case "references":
      return {
        ...state,
        references: { ...state.references, [action.label]: action.references },
      };
    case "job":
      return { ...state, jobs: withJob(state.jobs, action.job) };
    case "note":
      return { ...state, notes: [...state.notes, action.note].slice(-KEPT_NOTES) };
    case "note-gone":
      return { ...state, notes: state.notes.filter(({ id }) => id !== action.id) };
    default:
      if (state.opened === null) return state;
      return { ...state, opened: reduceOpened(state.opened, action) };
  }
}

type OpenedAction = Extract<
  Action,
  {
    type:
      | "session"
      | "opened-changed"
      | "slice"
      | "masks"
      | "begin"
      | "answer"
      | "refused"
      | "stepped";
  }
>;

function reduceOpened(open: Opened, action: OpenedAction): Opened {
  switch (action.type) {
    case "session":
      return isOlder(action.state, open) ? open : { ...open, session: action.state };
    case "opened-changed":
      return { ...open, ...action.change };
    case "slice":
      return goTo(open, action.slice);
    case "masks": {
      const isCurrent =
        action.slice === open.slice && action.revision >= (open.session?.revision ?? 0);
      return isCurrent ? { ...open, masks: action.masks } : open;
    }
    case "begin":
      return { ...open, history: history.begin(open.history, action.mark) };
    case "refused":
      return { ...open, history: history.refuse(open.history, action.step) };
    case "answer": {
      const steps =
        action.step === null ? open.history : history.confirm(open.history, action.step);
      return { ...withAnswer(open, action.answer), history: steps };
    }
    case "stepped": {
      const step = action.direction === "undo" ? history.undo : history.redo;
      return { ...withAnswer(open, action.answer), history: step(open.history) };
    }
  }
}

/** Take an answer unless a later one is there; its masks only if they are of the shown slice. */
function withAnswer(open: Opened, answer: Answer): Opened {
  if (isOlder(answer.state, open)) return open;
  const masks = answer.slice === open.slice ? answer.masks : open.masks;
  return { ...open, session: answer.state, masks };
}

function isOlder(state: SessionState, open: Opened): boolean {
  const { session } = open;
  if (session === null || state.session !== session.session) return false;
  return state.revision < session.revision;
}

function goTo(open: Opened, slice: number): Opened {
  const wanted = Math.min(Math.max(slice, 0), open.image.slices - 1);
  if (wanted === open.slice) return open;
  const visited = open.visited.includes(wanted) ? open.visited : [...open.visited, wanted];
  return { ...open, slice: wanted, masks: {}, visited };
}

function opened(state: State, open: Opened): State {
  const names = open.session?.labels.map(({ name }) => name) ?? [];
  const active = state.active ?? names[0] ?? state.labels[0]?.name ?? null;
  return { ...state, opened: open, opening: null, isAllDone: false, active };
}

function changeImage(state: State, image: ImageEntry): State {
  const replace = (entries: readonly ImageEntry[]) =>
    entries.map((entry) => (entry.id === image.id ? image : entry));
  const isFinished = image.state === "accepted" || image.state === "skipped";
  const suggestions = replace(state.gallery.suggestions).filter(
    ({ id }) => id !== image.id || !isFinished,
  );
  const gallery = { ...state.gallery, entries: replace(state.gallery.entries), suggestions };
  const { opened: open } = state;
  if (open?.image.id !== image.id) return { ...state, gallery };
  return { ...state, gallery, opened: { ...open, image: { ...open.image, ...known(image) } } };
}

/** What may change about an open image; its size and window do not. */
function known({ state, reason, labels, in_use_by, changed }: ImageEntry): Partial<ImageDetail> {
  return { state, reason, labels, in_use_by, changed };
}

function changeLabels(state: State, labels: readonly Label[]): State {
  const isKnown = labels.some(({ name }) => name === state.active);
  return { ...state, labels, active: isKnown ? state.active : (labels[0]?.name ?? null) };
}

function changeLook(state: State, label: string, change: Partial<Look>): State {
  const look = { ...lookOf(state, label), ...change };
  return { ...state, looks: { ...state.looks, [label]: look } };
}

/** The job that works on the open image at this moment. */
export function jobHere({ opened, jobs }: Pick<State, "opened" | "jobs">): Job | null {
  const found = jobs.find(({ id }) => id === opened?.job);
  return found === undefined || hasEnded(found) ? null : found;
}

export function hasEnded({ state }: Job): boolean {
  return state === "done" || state === "failed" || state === "cancelled";
}

/** Put a job where its number belongs, the latest first. */
export function withJob(jobs: readonly Job[], job: Job): readonly Job[] {
  const others = jobs.filter(({ id }) => id !== job.id);
  return [...others, job].sort((one, other) => other.id - one.id);
}

export function lookOf(state: Pick<State, "looks">, label: string): Look {
  return state.looks[label] ?? LOOK;
}

/** What the list says about an image: its state, finer than the server's. */
export type Status = ImageState | "in-use" | "presegmented";

export function statusOf(image: ImageEntry, author: string): Status {
  const isOthers = image.in_use_by !== null && image.in_use_by !== author;
  if (image.state === "broken") return "broken";
  if (isOthers) return "in-use";
  if (image.state === "new" && image.is_presegmented) return "presegmented";
  return image.state;
}

/** How much of the project is finished: accepted and skipped of all. */
export function finished(project: Project): { readonly done: number; readonly total: number } {
  const counts = project.images;
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return { done: (counts.accepted ?? 0) + (counts.skipped ?? 0), total };
}
