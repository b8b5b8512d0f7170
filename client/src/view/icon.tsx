/** The pictures on the buttons: lines on a grid of 24. */

const SHAPES = {
  accept: "M4.5 12.5l5 5L19.5 7",
  add: "M12 5v14M5 12h14",
  box: "M5 6h14v12H5z",
  brush: "M19.5 4.5c-4 1.5-7.5 5-9.5 8.5l2 2c3.5-2 7-5.5 8.5-9.5zM9.5 14c-2.5 0-3 1.5-3.5 4-.2 1-1 1.5-2 1.5 3 1.5 7.5.5 7.5-3.5",
  chart: "M4 19V5M4 19h16M8 15l3.5-4 3 2.5L20 7",
  close: "M6 6l12 12M18 6L6 18",
  cursor: "M12 4v5M12 15v5M4 12h5M15 12h5",
  dark: "M19 14.5A7.5 7.5 0 0 1 9.5 5a7.5 7.5 0 1 0 9.5 9.5z",
  down: "M12 4v11M7 11l5 5 5-5M5 20h14",
  eraser: "M9 19l-4.5-4.5 9-9L19 11l-8 8zM8 11l5.5 5.5M9 19h11",
  eye: "M2.5 12S6 6 12 6s9.5 6 9.5 6-3.5 6-9.5 6-9.5-6-9.5-6zM12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
  eyeOff: "M4 4l16 16M9.5 6.5A9.5 9.5 0 0 1 12 6c6 0 9.5 6 9.5 6a17 17 0 0 1-3 3.5M6 8a16 16 0 0 0-3.5 4S6 18 12 18a9 9 0 0 0 3.5-.7",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  folder: "M3.5 18.5v-13h6l2 2.5h9v10.5z",
  hand: "M12 3v18M3 12h18M9.5 5.5L12 3l2.5 2.5M9.5 18.5L12 21l2.5-2.5M5.5 9.5L3 12l2.5 2.5M18.5 9.5L21 12l-2.5 2.5",
  help: "M9 9.5a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5v.2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  image: "M4 5h16v14H4zM4 16l4.5-4.5 4 4 2.5-2.5 5 4.5M15 9v.2",
  jobs: "M12 7v5l3.5 2M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z",
  lasso: "M12 5c4.7 0 8 2 8 5s-3.3 5-8 5-8-2-8-5 3.3-5 8-5zM8 14.5c-2.5.500-3 3-1 3.5s3-1.5 2-3.5M7.5 18c0 1.5-.5 2-1.5 3",
  layers: "M12 4l8.5 4.5L12 13 3.5 8.5zM3.5 12.5L12 17l8.5-4.5M3.5 16.5L12 21l8.5-4.5",
  light: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  minus: "M5 12h14",
  next: "M5 12h14M13 6l6 6-6 6",
  point: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 8v8M8 12h8",
  redo: "M15 5l4.5 4.5L15 14M19.5 9.5H10a5 5 0 0 0 0 10h4",
  refresh: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3L19.5 9M19.5 4v5h-5",
  remove: "M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13M10.5 10.5v6M13.5 10.5v6",
  scribble: "M4 15c3-8 6-9 7-6s-3 8-1 9 5-8 7-7-1 5 3 5",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20.5 20.5",
  settings: "M4 8h9M17 8h3M4 16h3M11 16h9M15 6v4M9 14v4",
  skip: "M5 6l7 6-7 6zM13 6l7 6-7 6z",
  spread: "M12 3.5v17M8.5 7L12 3.5 15.5 7M8.5 17l3.5 3.5 3.5-3.5M5 12h14",
  star: "M12 4l2.4 5.2 5.6.700-4.2 3.9 1.1 5.6L12 16.6 7.1 19.4l1.1-5.6L4 9.9l5.6-.7z",
  undo: "M9 5L4.5 9.5 9 14M4.5 9.5H14a5 5 0 0 1 0 10h-4",
  unlock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 6.8-1.2",
  user: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4.5 20c.5-4 3.5-6 7.5-6s7 2 7.5 6",
  warning: "M12 4l9 16H3zM12 10v5M12 17.5v.2",
  window: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 3.5v17M12 8h7M12 12h8.5M12 16h7",
} as const;

export type IconName = keyof typeof SHAPES;

export function Icon({ name, size = 20 }: { readonly name: IconName; readonly size?: number }) {
  return (
    <svg
      class="icon"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="1.75"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      <path d={SHAPES[name]} />
    </svg>
  );
}
