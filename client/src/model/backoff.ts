/** Seconds to wait before the nth try (from 0) to reach a lost server. */
export function waitSeconds(attempt: number): number {
  return Math.min(2 ** attempt, 10);
}
