"""The page as a screen reader gets it, and whether everybody can read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

# What a person acts on, or must be told of: each needs a name.
NAMED = frozenset(
    {
        *("button", "link", "textbox", "searchbox", "combobox", "listbox", "option", "slider"),
        *("checkbox", "radio", "switch", "spinbutton", "ColorWell", "dialog", "alertdialog"),
        *("img", "image", "progressbar", "group", "toolbar", "radiogroup", "application"),
        *("navigation", "complementary", "region", "table", "columnheader"),
        *("heading", "DisclosureTriangle", "menuitem", "tab", "figure"),
    }
)

# Every visible piece of text with its colour and what is painted behind it.
_CONTRASTS = """() => {
  const parts = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    const isSrgb = text.startsWith("color(srgb");
    const [red, green, blue, alpha = 1] = found;
    return isSrgb ? [255 * red, 255 * green, 255 * blue, alpha] : [red, green, blue, alpha];
  };
  const over = ([r, g, b, a], [R, G, B]) =>
    [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const opacity = (element) => {
    let product = 1;
    for (let at = element; at; at = at.parentElement) product *= getComputedStyle(at).opacity;
    return product;
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const modal = document.querySelector("dialog[open]");
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent.trim();
    if (text === "" || element.closest("noscript, script, .spoken, option")) continue;
    if (modal && !modal.contains(element)) continue;
    const box = element.getBoundingClientRect();
    // What cannot be used need not be read as well as what can.
    const isOff = element.closest(":disabled, .is-off, [aria-disabled=true]");
    if (isOff || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
      continue;
    if (box.width < 2 || box.height < 2) continue;
    const ground = behind(element);
    const style = getComputedStyle(element);
    const ink = parts(style.color);
    ink[3] *= opacity(element);
    const [one, other] = [light(over(ink, ground)), light(ground)].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${text.slice(0, 40)}`);
  }
  return found;
}"""


@dataclass(frozen=True)
class Node:
    """One thing that a screen reader says: what it is, how it is called, whether it has focus."""

    role: str
    name: str
    is_focused: bool


def tree_of(page: Page) -> list[Node]:
    """Return everything that a screen reader can reach, in its order."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    return [
        Node(
            str(one.get("role", {}).get("value", "")),
            str(one.get("name", {}).get("value", "")).strip(),
            any(
                prop["name"] == "focused" and prop["value"].get("value")
                for prop in one.get("properties", [])
            ),
        )
        for one in nodes
        if not one.get("ignored")
    ]


def nameless(page: Page) -> list[str]:
    """Return the roles of what should have a name and has none."""
    return [one.role for one in tree_of(page) if one.role in NAMED and not one.name]


def focused(page: Page) -> Node:
    """Return what has the keyboard's focus, the innermost."""
    return [one for one in tree_of(page) if one.is_focused][-1]


def faint(page: Page) -> list[str]:
    """Return visible texts with a contrast below 4.5 (WCAG 2.2, AA), with that contrast."""
    found: list[str] = page.evaluate(_CONTRASTS)
    return found
