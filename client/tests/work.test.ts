import assert from "node:assert/strict";
import { test } from "node:test";
import { waitSeconds } from "../src/model/backoff";
import { leastCertain } from "../src/model/confidence";
import { Line } from "../src/model/line";
import { drawnWith, extend, finish, type Gesture, type PromptTool } from "../src/model/tools";
import { Connection } from "../src/server/connection";
import type { Label } from "../src/server/shapes";
import { Store } from "../src/store";
import type { Desk } from "../src/work/desk";
import { LabellingWork } from "../src/work/labelling";
import type { PromptingWork } from "../src/work/prompting";

const TARGET = { label: "liver", slice: 4, radius: 3, image: { width: 124, height: 88 } };

function gesture(tool: PromptTool, ...places: [number, number][]): Gesture {
  return { tool, isPositive: true, places: places.map(([row, col]) => ({ row, col })) };
}

function later<T>(value: T, milliseconds: number): Promise<T> {
  return new Promise((resolve) => setTimeout(() => resolve(value), milliseconds));
}

test("requests go one after the other, whatever each takes", async () => {
  const line = new Line();
  const order: string[] = [];
  const task = (name: string, milliseconds: number) => async () => {
    order.push(`${name} begins`);
    await later(null, milliseconds);
    order.push(`${name} ends`);
    return name;
  };
  const answers = [line.add(task("slow", 12)), line.add(task("quick", 1))];
  assert.equal(line.length, 2);
  assert.deepEqual(await Promise.all(answers), [
    { isStale: false, value: "slow" },
    { isStale: false, value: "quick" },
  ]);
  assert.deepEqual(order, ["slow begins", "slow ends", "quick begins", "quick ends"]);
  assert.equal(line.length, 0);
});

test("a request that fails says so and holds up none behind it", async () => {
  const line = new Line();
  const bad = line.add(() => Promise.reject(new Error("no")));
  const good = line.add(() => Promise.resolve(7));
  await assert.rejects(bad, /no/);
  assert.deepEqual(await good, { isStale: false, value: 7 });
});

test("answers about an image that was left are stale, waiting requests are not sent", async () => {
  const line = new Line();
  let sent = 0;
  const onItsWay = line.add(() => later("late", 5));
  const waiting = line.add(async () => {
    sent += 1;
  });
  const failing = line.add(() => Promise.reject(new Error("late too")));
  await later(null, 1);
  line.leave();
  const fresh = line.add(() => Promise.resolve("fresh"));
  assert.deepEqual(await fresh, { isStale: false, value: "fresh" });
  assert.deepEqual(await onItsWay, { isStale: true });
  assert.deepEqual(await waiting, { isStale: true });
  assert.deepEqual(await failing, { isStale: true });
  assert.equal(sent, 0);
  assert.equal(line.length, 0);
});

test("a click is the pixel it lies on, inside the image", () => {
  const prompt = finish(gesture("point", [10.4, 20.6]), TARGET);
  const expected = { kind: "point", label: "liver", slice: 4, is_positive: true, row: 10, col: 21 };
  assert.deepEqual(prompt, expected);
  assert.deepEqual(finish(gesture("point", [-9, 900]), TARGET), { ...expected, row: 0, col: 123 });
});

test("a box is half open, from any corner to any other", () => {
  const expected = { top: 10, left: 20, bottom: 31, right: 61 };
  for (const [one, other] of [
    [[10, 20], [30, 60]],
    [[30, 20], [10, 60]],
    [[30, 60], [10, 20]],
  ] as const) {
    const prompt = finish(gesture("box", [...one], [...other]), TARGET);
    const { top, left, bottom, right } = prompt as unknown as typeof expected;
    assert.deepEqual({ top, left, bottom, right }, expected);
  }
  assert.equal(finish(gesture("box", [10, 20], [10, 60]), TARGET), null);
  assert.equal(finish(gesture("box", [10, 20]), TARGET), null);
});

test("a line keeps its way, a lasso needs an area, both stay inside", () => {
  const line = finish(gesture("scribble", [1.23, 2], [90, 4], [91, 4]), TARGET);
  assert.deepEqual(line, {
    kind: "scribble",
    label: "liver",
    slice: 4,
    is_positive: true,
    points: [[1.2, 2], [87, 4]],
    radius: 3,
  });
  assert.equal(finish(gesture("lasso", [1, 1], [5, 5]), TARGET), null);
  const lasso = finish(gesture("lasso", [1, 1], [5, 5], [9, 1]), TARGET);
  assert.deepEqual(Object.keys(lasso ?? {}).includes("radius"), false);
});

test("a gesture follows the pointer, without points that say nothing new", () => {
  let box = gesture("box", [1, 1]);
  for (const col of [3, 8, 6]) box = extend(box, { row: 5, col });
  assert.deepEqual(box.places, [{ row: 1, col: 1 }, { row: 5, col: 6 }]);
  let line = gesture("brush", [1, 1]);
  for (const col of [1.2, 1.4, 2, 2.1]) line = extend(line, { row: 1, col });
  assert.deepEqual(line.places.map(({ col }) => col), [1, 2]);
  const point = gesture("point", [1, 1]);
  assert.equal(extend(point, { row: 50, col: 50 }), point);
});

test("taking away with the brush wipes, with the eraser paints", () => {
  assert.deepEqual(drawnWith("brush", false), { tool: "eraser", isPositive: true });
  assert.deepEqual(drawnWith("eraser", false), { tool: "brush", isPositive: true });
  assert.deepEqual(drawnWith("eraser", true), { tool: "eraser", isPositive: true });
  assert.deepEqual(drawnWith("scribble", false), { tool: "scribble", isPositive: false });
});

test("the least certain slice is one that was not looked at, while there are such", () => {
  const confidence = [null, 0.9, 0.4, 0.6, null];
  assert.equal(leastCertain(confidence, new Set()), 2);
  assert.equal(leastCertain(confidence, new Set([2])), 3);
  assert.equal(leastCertain(confidence, new Set([1, 2, 3])), 2);
  assert.equal(leastCertain([null, null], new Set()), null);
});

test("the wait for a lost server grows to ten seconds", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 30].map(waitSeconds), [1, 2, 4, 8, 10, 10]);
});

/** A person at a server that knows hepar as liver and takes its time for each name. */
function labelling(seconds: Readonly<Record<string, number>>, order: string[]) {
  const labels: Label[] = [];
  const store = new Store();
  const routes = {
    makeLabel: async (typed: string) => {
      await later(null, seconds[typed] ?? 1);
      if (typed === "") throw new Error("a label needs a name");
      const name = typed === "hepar" ? "liver" : typed;
      const made = { name, is_class: name === "liver" } as Label;
      labels.push(made);
      return made;
    },
    labels: () => Promise.resolve([...labels]),
    references: () => Promise.resolve([]),
  };
  const desk = { routes, store, session: {}, say: () => undefined } as unknown as Desk;
  const prompting = {
    predictClass: (name: string) => Promise.resolve(void order.push(`class ${name}`)),
  } as unknown as PromptingWork;
  return { store, work: new LabellingWork(desk, prompting) };
}

test("what is drawn while a label is added is for it, and comes after its class", async () => {
  const order: string[] = [];
  const { store, work } = labelling({}, order);
  const made = work.make("hepar");
  assert.notEqual(work.naming, null);
  void work.naming?.then((name) => order.push(`click ${name}`));
  await made;
  assert.deepEqual(order, ["class liver", "click liver"]);
  assert.equal(store.state.active, "liver");
  assert.equal(work.naming, null);
});

test("a label that is refused leaves what was drawn without one", async () => {
  const { work } = labelling({}, []);
  const made = work.make("");
  const { naming } = work;
  await assert.rejects(made, /needs a name/);
  assert.equal(await naming, null);
  assert.equal(work.naming, null);
});

test("the label that was named or chosen last is the current one", async () => {
  const { store, work } = labelling({ slow: 12, quick: 1 }, []);
  const drawn: (string | null | undefined)[] = [];
  const slow = work.make("slow");
  const first = work.naming?.then((name) => drawn.push(name));
  const quick = work.make("quick");
  const second = work.naming?.then((name) => drawn.push(name));
  await Promise.all([slow, quick, first, second]);
  assert.deepEqual(drawn, ["slow", "quick"]);
  assert.equal(store.state.active, "quick");
  const late = work.make("late");
  await work.choose("slow");
  await late;
  assert.equal(store.state.active, "slow");
});

test("a server with too much to do is asked again, another refusal is not", async (context) => {
  const codes = ["busy", "busy", "none", "full"];
  const refuse = (code: string) =>
    new Response(JSON.stringify({ error: { code, message: code } }), {
      status: 503,
      headers: { "Retry-After": "0" },
    });
  const asked = context.mock.method(globalThis, "fetch", () => {
    const code = codes.shift() ?? "none";
    return Promise.resolve(code === "none" ? new Response("[7]") : refuse(code));
  });
  const connection = new Connection();
  assert.deepEqual(await connection.get("/api/images"), [7]);
  assert.equal(asked.mock.callCount(), 3);
  await assert.rejects(connection.get("/api/images"), /full/);
  assert.equal(asked.mock.callCount(), 4);
  codes.push(...Array<string>(9).fill("busy"));
  await assert.rejects(connection.get("/api/images"), /busy/);
  assert.equal(asked.mock.callCount(), 9);
});
