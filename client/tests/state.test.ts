import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY } from "../src/model/history";
import * as model from "../src/model/state";
import type {
  Answer,
  ImageDetail,
  Job,
  Label,
  LabelState,
  Runs,
  SessionState,
} from "../src/server/shapes";

const IMAGE: ImageDetail = {
  id: 3,
  name: "ct/case-7.nii.gz",
  state: "new",
  reason: null,
  width: 3,
  height: 2,
  slices: 9,
  is_rgb: false,
  modality: "CT",
  spacing: [5, 0.8, 0.8],
  is_physical: true,
  is_presegmented: false,
  uncertainty: null,
  labels: [],
  in_use_by: null,
  changed: "2026-11-22T09:00:00.000+00:00",
  window: { low: -160, high: 240, minimum: -1024, maximum: 2000, presets: [] },
};

function session(revision: number, name = "f3"): SessionState {
  const label: LabelState = {
    name: "liver",
    label: 1,
    presence: null,
    is_locked: false,
    pixels: revision,
    slices_with_mask: [4],
    interactions: revision,
    uses: "nothing",
    confidence: null,
  };
  return {
    session: name,
    image: 3,
    author: "Ada",
    expires_in: 900,
    revision,
    can_undo: true,
    can_redo: false,
    notice: null,
    job: null,
    labels: [label],
  };
}

function mask(...runs: number[]): Runs {
  return { shape: [2, 3], runs };
}

function answer(revision: number, slice: number, ...runs: number[]): Answer {
  return { state: session(revision), slice, milliseconds: 40, masks: { liver: mask(...runs) } };
}

function opened(): model.State {
  const open: model.Opened = {
    image: IMAGE,
    session: session(5),
    occupied: null,
    slice: 4,
    masks: {},
    history: EMPTY,
    span: { low: 0, high: 1 },
    absent: [],
    visited: [4],
    isBusy: false,
    job: null,
  };
  return model.reduce(model.INITIAL, { type: "opened", opened: open });
}

const LABEL: Label = {
  id: 1,
  name: "liver",
  colour: [230, 159, 0],
  is_class: true,
  references: 0,
  accepted: 0,
  masks: 0,
};

test("an answer brings the masks of its slice", () => {
  const state = model.reduce(opened(), {
    type: "answer",
    step: null,
    answer: answer(6, 4, 2, 1, 3),
  });
  assert.deepEqual(state.opened?.masks, { liver: mask(2, 1, 3) });
  assert.equal(state.opened?.session?.revision, 6);
});

test("an answer that a later one has overtaken changes nothing", () => {
  const late = model.reduce(opened(), {
    type: "answer",
    step: null,
    answer: answer(8, 4, 2, 1, 3),
  });
  const early = model.reduce(late, { type: "answer", step: null, answer: answer(7, 4, 0, 6) });
  assert.equal(early.opened?.session?.revision, 8);
  assert.deepEqual(early.opened?.masks, { liver: mask(2, 1, 3) });
});

test("an answer about another slice keeps what is shown", () => {
  const shown = model.reduce(opened(), {
    type: "answer",
    step: null,
    answer: answer(6, 4, 2, 1, 3),
  });
  const other = model.reduce(shown, { type: "answer", step: null, answer: answer(7, 2, 0, 6) });
  assert.deepEqual(other.opened?.masks, { liver: mask(2, 1, 3) });
  assert.equal(other.opened?.session?.revision, 7);
});

test("masks that were asked for before the slice or the session changed are dropped", () => {
  const masks = { liver: mask(0, 6) };
  const moved = model.reduce(opened(), { type: "slice", slice: 6 });
  const slice = model.reduce(moved, { type: "masks", slice: 4, revision: 5, masks });
  assert.deepEqual(slice.opened?.masks, {});
  const old = model.reduce(opened(), { type: "masks", slice: 4, revision: 4, masks });
  assert.deepEqual(old.opened?.masks, {});
  const current = model.reduce(opened(), { type: "masks", slice: 4, revision: 5, masks });
  assert.deepEqual(current.opened?.masks, masks);
});

test("a new session begins to count anew", () => {
  const state = model.reduce(opened(), { type: "session", state: session(1, "a9") });
  assert.equal(state.opened?.session?.session, "a9");
  const older = model.reduce(opened(), { type: "session", state: session(1) });
  assert.equal(older.opened?.session?.revision, 5);
});

test("slices stay inside the volume and are remembered", () => {
  let state = opened();
  for (const slice of [99, -4, 4]) state = model.reduce(state, { type: "slice", slice });
  assert.equal(state.opened?.slice, 4);
  assert.deepEqual(state.opened?.visited, [4, 8, 0]);
});

test("a refused prompt leaves no mark, an accepted one does, undo hides it", () => {
  const dot = {
    kind: "point",
    label: "liver",
    slice: 4,
    isPositive: true,
    places: [{ row: 1, col: 2 }],
    radius: 0,
  } as const;
  const begun = model.reduce(opened(), { type: "begin", mark: dot });
  const step = begun.opened?.history.lastId ?? assert.fail();
  const refused = model.reduce(begun, { type: "refused", step });
  assert.equal(refused.opened?.history.steps.length, 0);
  const done = model.reduce(begun, { type: "answer", step, answer: answer(6, 4, 6) });
  assert.equal(done.opened?.history.steps[0]?.isPending, false);
  const back = { type: "stepped", direction: "undo", answer: answer(7, 4, 6) } as const;
  const undone = model.reduce(done, back);
  assert.equal(undone.opened?.history.pointer, 0);
});

test("nothing happens to an image that is not open", () => {
  const late = { type: "answer", step: null, answer: answer(6, 4, 6) } as const;
  const state = model.reduce(model.INITIAL, late);
  assert.equal(state, model.INITIAL);
});

test("the chosen label stays while it exists", () => {
  const other = { ...LABEL, id: 2, name: "spleen" };
  const first = model.reduce(model.INITIAL, { type: "labels", labels: [LABEL, other] });
  assert.equal(first.active, "liver");
  const chosen = model.reduce(first, { type: "set", change: { active: "spleen" } });
  assert.equal(model.reduce(chosen, { type: "labels", labels: [LABEL, other] }).active, "spleen");
  assert.equal(model.reduce(chosen, { type: "labels", labels: [LABEL] }).active, "liver");
  assert.equal(model.reduce(chosen, { type: "labels", labels: [] }).active, null);
});

test("looks belong to one label", () => {
  const state = model.reduce(opened(), { type: "look", label: "liver", change: { opacity: 0.9 } });
  assert.deepEqual(model.lookOf(state, "liver"), { isVisible: true, opacity: 0.9 });
  assert.deepEqual(model.lookOf(state, "spleen"), model.LOOK);
});

test("jobs stand with the latest first and change in place", () => {
  const job = (id: number, done: number): Job => ({
    id,
    kind: "export",
    state: "running",
    done,
    total: 9,
    message: null,
    author: "Ada",
    result: null,
    has_file: false,
  });
  const jobs = [job(2, 0), job(7, 0), job(2, 5)].reduce(model.withJob, [] as readonly Job[]);
  assert.deepEqual(jobs.map(({ id, done }) => [id, done]), [[7, 0], [2, 5]]);
});

test("the list says who works and what was made ready", () => {
  assert.equal(model.statusOf(IMAGE, "Ada"), "new");
  assert.equal(model.statusOf({ ...IMAGE, is_presegmented: true }, "Ada"), "presegmented");
  assert.equal(model.statusOf({ ...IMAGE, in_use_by: "Bo" }, "Ada"), "in-use");
  assert.equal(model.statusOf({ ...IMAGE, in_use_by: "Ada", state: "started" }, "Ada"), "started");
  assert.equal(model.statusOf({ ...IMAGE, in_use_by: "Bo", state: "broken" }, "Ada"), "broken");
  const accepted = { ...IMAGE, state: "accepted", is_presegmented: true } as const;
  assert.equal(model.statusOf(accepted, "Ada"), "accepted");
});

test("the open image learns that it was accepted", () => {
  const image = { ...IMAGE, state: "accepted", labels: ["liver"], width: null } as const;
  const state = model.reduce(opened(), { type: "image-changed", image });
  assert.equal(state.opened?.image.state, "accepted");
  assert.deepEqual(state.opened?.image.labels, ["liver"]);
  assert.equal(state.opened?.image.width, 3);
});

test("finished images leave the suggestions", () => {
  const gallery = { ...model.INITIAL.gallery, entries: [IMAGE], suggestions: [IMAGE] };
  const state = { ...model.INITIAL, gallery };
  const accepted = model.reduce(state, {
    type: "image-changed",
    image: { ...IMAGE, state: "accepted" },
  });
  assert.equal(accepted.gallery.entries[0]?.state, "accepted");
  assert.equal(accepted.gallery.suggestions.length, 0);
  const image = { ...IMAGE, state: "started" } as const;
  const started = model.reduce(state, { type: "image-changed", image });
  assert.equal(started.gallery.suggestions[0]?.state, "started");
});

test("the job on the open image is shown until it has ended", () => {
  const job: Job = {
    id: 7,
    kind: "predict",
    state: "running",
    done: 1,
    total: 5,
    message: "",
    author: "Ada",
    result: null,
    has_file: false,
  };
  const others = { ...job, id: 8 };
  let state = model.reduce(opened(), { type: "job", job: others });
  assert.equal(model.jobHere(state), null);
  state = model.reduce(state, { type: "job", job });
  state = model.reduce(state, { type: "opened-changed", change: { job: 7 } });
  assert.equal(model.jobHere(state), job);
  state = model.reduce(state, { type: "job", job: { ...job, state: "cancelled" } });
  assert.equal(model.jobHere(state), null);
});
