/** Through a volume: the slice, where masks are, and how certain each slice is. */

import type { Opened, State } from "../model/state";
import type { LabelState } from "../server/shapes";
import type { Workbench } from "../work/workbench";
import { IconButton } from "./button";

interface Props {
  readonly bench: Workbench;
  readonly state: State;
  readonly opened: Opened;
}

export function SliceBar({ bench, state, opened }: Props) {
  const { image, slice } = opened;
  const label = opened.session?.labels.find(({ name }) => name === state.active) ?? null;
  const canPropagate = label !== null && label.slices_with_mask.length > 0;
  const go = (to: number) => bench.do(() => bench.prompting.goTo(to));
  return (
    <div class="slices" role="group" aria-label="Slices" id="slices">
      <IconButton
        icon="minus"
        label="Previous slice"
        command="slice.previous"
        tip="above"
        isDisabled={slice === 0}
        onClick={() => go(slice - 1)}
      />
      <div class="slice-track">
        <Confidence label={label} slices={image.slices} />
        <input
          type="range"
          min={0}
          max={image.slices - 1}
          value={slice}
          aria-label="Slice"
          aria-valuetext={`Slice ${slice + 1} of ${image.slices}`}
          onInput={(event) => go(event.currentTarget.valueAsNumber)}
        />
      </div>
      <IconButton
        icon="add"
        label="Next slice"
        command="slice.next"
        tip="above"
        isDisabled={slice === image.slices - 1}
        onClick={() => go(slice + 1)}
      />
      <output class="slice-number">
        {slice + 1} / {image.slices}
      </output>
      <IconButton
        icon="warning"
        label="Least certain slice"
        command="slice.uncertain"
        tip="above"
        isDisabled={label?.confidence == null}
        onClick={() => bench.run("slice.uncertain")}
      />
      <button
        type="button"
        class="button is-small"
        id="propagate"
        disabled={!canPropagate}
        onClick={() => {
          if (label !== null) bench.do(() => bench.jobs.propagate(label.name));
        }}
      >
        Propagate
      </button>
    </div>
  );
}

/** One bar a slice: its height is the confidence; without any, slices with a mask are marked. */
function Confidence(props: { readonly label: LabelState | null; readonly slices: number }) {
  const { label, slices } = props;
  if (label === null) return <svg class="confidence" aria-hidden="true" />;
  const masked = new Set(label.slices_with_mask);
  const bars = Array.from({ length: slices }, (_, slice) => {
    const value = label.confidence?.[slice] ?? null;
    const height = value ?? (masked.has(slice) ? 0.35 : 0);
    return { slice, height, isDoubtful: value !== null && value < 0.7 };
  });
  const certain = bars.filter(({ isDoubtful }) => isDoubtful).length;
  const text =
    label.confidence === null
      ? `${masked.size} slices with a mask`
      : `Confidence by slice; ${certain} slices below 70 per cent`;
  return (
    <svg
      class="confidence"
      viewBox={`0 0 ${slices} 1`}
      preserveAspectRatio="none"
      role="img"
      aria-label={text}
    >
      {bars.map(({ slice, height, isDoubtful }) =>
        height === 0 ? null : (
          <rect
            key={slice}
            class={isDoubtful ? "is-doubtful" : ""}
            x={slice + 0.08}
            width={0.84}
            y={1 - height}
            height={height}
          />
        ),
      )}
    </svg>
  );
}
