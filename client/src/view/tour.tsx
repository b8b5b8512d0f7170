/** Five steps for the first visit. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Workbench } from "../work/workbench";

interface TourStep {
  readonly target: string;
  readonly title: string;
  readonly text: string;
}

export const TOUR: readonly TourStep[] = [
  {
    target: "gallery",
    title: "Choose an image",
    text: "All images of the folder, each with its state. The least certain come first.",
  },
  {
    target: "labels",
    title: "Name a structure",
    text: "Type its name. If the model knows it, a first mask appears by itself.",
  },
  {
    target: "tools",
    title: "Click on it",
    text: "A click adds, a right click takes away. Boxes, scribbles, lasso and brush are here too.",
  },
  {
    target: "actions",
    title: "Accept",
    text: "The mask is saved and becomes a reference: the next images come pre-segmented.",
  },
  {
    target: "help",
    title: "Everything has a key",
    text: "Press ? for all of them. You can work without a mouse.",
  },
];

const WIDTH = 320;
const GAP = 12;

interface Place {
  readonly left: number;
  readonly top: number;
}

export function Tour({ bench, step }: { readonly bench: Workbench; readonly step: number }) {
  const card = useRef<HTMLDivElement>(null);
  const [place, setPlace] = useState<Place | null>(null);
  const shown = TOUR[step];
  useLayoutEffect(() => {
    const target = document.getElementById(shown?.target ?? "");
    const locate = () => {
      if (card.current !== null) setPlace(beside(target, card.current.offsetHeight));
    };
    locate();
    target?.classList.add("is-toured");
    window.addEventListener("resize", locate);
    return () => {
      target?.classList.remove("is-toured");
      window.removeEventListener("resize", locate);
    };
  }, [shown]);
  const isPlaced = place !== null;
  useEffect(() => {
    // What is hidden until it has its place takes no focus.
    if (isPlaced) card.current?.querySelector<HTMLElement>(".is-primary")?.focus();
  }, [shown, isPlaced]);
  if (shown === undefined) return null;
  const isLast = step === TOUR.length - 1;
  return (
    <div
      ref={card}
      class="tour"
      role="dialog"
      aria-labelledby="tour-title"
      aria-describedby="tour-text"
      style={{ left: place?.left ?? 0, top: place?.top ?? 0, visibility: place ? "" : "hidden" }}
      onKeyDown={(event) => {
        if (event.key === "Escape") bench.setTour(null);
      }}
    >
      <h2 id="tour-title">{shown.title}</h2>
      <p id="tour-text">{shown.text}</p>
      <div class="row">
        <span class="quiet">
          {step + 1} of {TOUR.length}
        </span>
        <span class="grow" />
        {isLast ? null : (
          <button type="button" class="button is-quiet" onClick={() => bench.setTour(null)}>
            Skip the tour
          </button>
        )}
        <button
          type="button"
          class="button is-primary"
          onClick={() => bench.setTour(isLast ? null : step + 1)}
        >
          {isLast ? "Begin" : "Next"}
        </button>
      </div>
    </div>
  );
}

/** Beside the target where there is room, inside the window always; in the middle without one. */
function beside(target: HTMLElement | null, height: number): Place {
  const box = target?.getBoundingClientRect();
  const { innerWidth, innerHeight } = window;
  const keep = (left: number, top: number): Place => ({
    left: Math.max(GAP, Math.min(left, innerWidth - WIDTH - GAP)),
    top: Math.max(GAP, Math.min(top, innerHeight - height - GAP)),
  });
  if (box === undefined || box.width === 0 || box.right <= 0) {
    return keep((innerWidth - WIDTH) / 2, (innerHeight - height) / 2);
  }
  if (box.right + WIDTH + 2 * GAP < innerWidth) return keep(box.right + GAP, box.top + GAP);
  if (box.left > WIDTH + 2 * GAP) {
    const isFlat = box.height < 120;
    if (!isFlat) return keep(box.left - WIDTH - GAP, box.top + GAP);
  }
  if (box.top > height + 2 * GAP) return keep(box.right - WIDTH, box.top - height - GAP);
  return keep(box.right - WIDTH, box.bottom + GAP);
}
