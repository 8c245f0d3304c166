// What the two canvases share: colours of the theme, and text that fits.

import { h } from "./dom.js";

let known = new Map();
const probe = h("span", { hidden: true });

// A colour token as the theme resolves it: one list of tokens serves light and dark.
export function colour(token) {
    if (!probe.isConnected) document.body.append(probe);
    if (!known.has(token)) {
        probe.style.color = `var(${token})`;
        known.set(token, getComputedStyle(probe).color);
    }
    return known.get(token);
}

export const forgetColours = () => (known = new Map());

export const font = () => `13px ${getComputedStyle(document.body).fontFamily}`;

// The context of a canvas of this height, in CSS pixels.
export function prepare(canvas, height) {
    const [width, ratio] = [canvas.clientWidth, devicePixelRatio || 1];
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.font = font();
    context.textBaseline = "middle";
    return { context, width };
}

// As much of a text as fits, with … for the rest.
export function clip(context, text, width) {
    if (context.measureText(text).width <= width) return text;
    let [low, high] = [0, text.length];
    while (low < high) {
        const middle = Math.ceil((low + high) / 2);
        if (context.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
        else high = middle - 1;
    }
    return low > 1 ? `${text.slice(0, low)}…` : "";
}
