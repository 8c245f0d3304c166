// Small tools for elements. Text enters the page as text nodes alone, never as markup: the page's
// policy (`trusted-types 'none'`) makes the browser refuse anything else.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (selector) => document.querySelector(selector);

// Children may be nested lists; what is absent (`null`, `undefined`, `false`) is left out.
const present = (children) =>
    children.flat(Infinity).filter((child) => child != null && child !== false && child !== "");

function build(element, properties, children) {
    for (const [name, value] of Object.entries(properties ?? {})) {
        if (value == null || value === false) continue;
        if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
        else if (name === "style") {
            for (const [property, it] of Object.entries(value)) {
                element.style.setProperty(property, it);
            }
        } else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...present(children));
    return element;
}

// h("p", { class: "soft" }, "text", child, [more children])
export const h = (tag, properties, ...children) =>
    build(document.createElement(tag), properties, children);

export const svg = (tag, properties, ...children) =>
    build(document.createElementNS(SVG, tag), properties, children);

export const span = (name, ...children) => h("span", { class: name || null }, children);

// Replaces all children.
export function fill(element, ...children) {
    element.replaceChildren(...present(children));
    return element;
}

// Sets what has changed alone, so that a screen reader and a selection are left in peace.
export function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
    if (value == null || value === false || value === "") element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

// A button that looks like a link.
export const link = (text, onclick, properties) =>
    h("button", { type: "button", class: "link cut", title: text, onclick, ...properties }, text);

// A figure with its unit or evidence in its tooltip.
export const hinted = (text, title) => h("span", { title: title ?? null }, text);

const SHAPES = {
    high: "M6 1 11 10.5H1Z",
    medium: "M6 1 11 6 6 11 1 6Z",
    low: "M6 2a4 4 0 1 0 0 8 4 4 0 0 0 0-8Z",
};

// A sentence in which `names` stand between backticks.
export const prose = (text) =>
    text.split("`").map((piece, at) => (at % 2 ? span("code", piece) : piece));

// A severity: by its shape too, for readers that do not see the colour.
export const severity = (level) =>
    svg(
        "svg",
        { viewBox: "0 0 12 12", class: `mark ${level}`, role: "img", "aria-label": level },
        svg("path", {
            d: SHAPES[level] ?? SHAPES.low,
            fill: level === "low" ? "none" : "currentColor",
            stroke: "currentColor",
        }),
    );
