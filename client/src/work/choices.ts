/** What a person chose on this computer; kept by the browser. */

import type { Theme } from "../model/state";

const THEME = "medprism.theme";
const AUTHOR = "medprism.author";
const TOUR = "medprism.tour";

export function savedTheme(): Theme {
  const kept = localStorage.getItem(THEME);
  return kept === "light" || kept === "dark" ? kept : "system";
}

export function saveTheme(theme: Theme): void {
  localStorage.setItem(THEME, theme);
}

export function savedAuthor(): string {
  return localStorage.getItem(AUTHOR) ?? "";
}

export function saveAuthor(author: string): void {
  localStorage.setItem(AUTHOR, author);
}

export function hasSeenTour(): boolean {
  return localStorage.getItem(TOUR) === "seen";
}

export function saveTourSeen(): void {
  localStorage.setItem(TOUR, "seen");
}
