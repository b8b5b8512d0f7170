/** Add a label: type a name; what the model knows by name is offered. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { State } from "../model/state";
import type { KnownClass } from "../server/shapes";
import type { Workbench } from "../work/workbench";
import { Icon } from "./icon";

interface Option {
  readonly name: string;
  readonly note: string;
}

const SHOWN = 8;

interface Props {
  readonly bench: Workbench;
  readonly state: State;
}

export function ClassPicker({ bench, state }: Props) {
  const [text, setText] = useState("");
  const [classes, setClasses] = useState<readonly KnownClass[]>([]);
  const [isOpen, setOpen] = useState(false);
  const [at, setAt] = useState(0);
  const asked = useRef(0);

  useEffect(() => {
    asked.current += 1;
    const turn = asked.current;
    if (!isOpen) return;
    bench.do(async () => {
      const found = await bench.desk.routes.classes(text.trim());
      if (turn === asked.current) setClasses(found);
    });
  }, [text, isOpen, bench]);

  const options = optionsOf(text.trim(), classes, state);
  const choose = (option: Option) => {
    setText("");
    setOpen(false);
    setAt(0);
    // Keys mean tools again.
    if (state.opened === null) document.getElementById("label-search")?.blur();
    else bench.canvas?.focus();
    bench.do(() => bench.labelling.make(option.name));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setOpen(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      setAt((at + step + options.length) % Math.max(options.length, 1));
    } else if (event.key === "Enter") {
      event.preventDefault();
      const option = options[at];
      if (option !== undefined) choose(option);
    } else if (event.key === "Escape") {
      setOpen(false);
      event.currentTarget instanceof HTMLElement && event.currentTarget.blur();
    }
  };
  return (
    <div class="picker">
      <label class="search">
        <Icon name="add" size={16} />
        <input
          id="label-search"
          role="combobox"
          autocomplete="off"
          aria-expanded={isOpen}
          aria-controls="label-options"
          aria-activedescendant={isOpen && options.length > 0 ? `label-option-${at}` : undefined}
          aria-label="Add a label"
          placeholder="Add a label"
          value={text}
          onFocus={() => setOpen(true)}
          onBlur={() => setOpen(false)}
          onInput={(event) => {
            setText(event.currentTarget.value);
            setOpen(true);
            setAt(0);
          }}
          onKeyDown={onKeyDown}
        />
      </label>
      <ul id="label-options" role="listbox" aria-label="Names" hidden={!isOpen || !options.length}>
        {options.map((option, index) => (
          <li
            key={option.name}
            id={`label-option-${index}`}
            role="option"
            aria-selected={index === at}
            // The input keeps the focus; a lost focus would close the list before the click.
            onPointerDown={(event) => {
              event.preventDefault();
              choose(option);
            }}
          >
            <span>{option.name}</span>
            <span class="option-note">{option.note}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

function optionsOf(text: string, classes: readonly KnownClass[], state: State): Option[] {
  const taken = new Set(state.labels.map(({ name }) => name));
  const known = classes
    .filter(({ name }) => !taken.has(name))
    .map(({ name, synonyms }) => ({ name, note: "known", synonyms }));
  const wanted = text.toLowerCase();
  const begins = (name: string) => name.toLowerCase().startsWith(wanted);
  const near = known.filter(({ name, synonyms }) => begins(name) || synonyms.some(begins));
  const far = known.filter((option) => !near.includes(option));
  const isExact = classes.some(({ name }) => name.toLowerCase() === wanted);
  const isNew = text !== "" && !isExact && !taken.has(text);
  // Enter takes the first: what begins as it was typed, else a new label, and only then the rest.
  const fresh = isNew ? [{ name: text, note: "new" }] : [];
  return [...near.slice(0, SHOWN), ...fresh, ...far.slice(0, SHOWN)];
}
