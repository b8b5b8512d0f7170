/** Per-slice confidence after a propagation. */

export type Confidence = readonly (number | null)[];

/** The least certain slice, not yet visited if possible; null if nothing was predicted. */
export function leastCertain(confidence: Confidence, visited: ReadonlySet<number>): number | null {
  const known = confidence
    .map((value, slice) => ({ value, slice }))
    .filter((one): one is { value: number; slice: number } => one.value !== null);
  const fresh = known.filter(({ slice }) => !visited.has(slice));
  const pool = fresh.length > 0 ? fresh : known;
  const first = pool[0];
  if (first === undefined) return null;
  return pool.reduce((best, one) => (one.value < best.value ? one : best), first).slice;
}
