// What the reader looks at. All of it is in the URL, so that a colleague sees the same.

export const DEFAULTS = {
    tab: "sites",
    sort: "", // a column; "-" before it: the largest first
    q: "", // the filter
    group: "",
    row: "", // the selected row
    open: "", // "1": its drawer is open
    fold: "", // nodes that are not as they are at first
    at: "", // the moment that is compared with, in ms since 1970
    zoom: "", // of the time line: from-to, in ms since 1970
    kind: "live", // of stacks: live or allocated
    site: "", // of stacks: one site
    focus: "", // of stacks: through one frame
    hide: "", // of stacks: frames, a line each
    frames: "", // of stacks: "all": also above the first own frame
    under: "", // of what holds the heap: the row that is looked into
    pause: "",
    theme: "",
};

export const state = { ...DEFAULTS };
const listeners = [];
export const onState = (listener) => listeners.push(listener);
const tell = (changed) => listeners.forEach((listener) => listener(changed));

function read() {
    const given = new URLSearchParams(location.hash.slice(1));
    for (const [name, value] of Object.entries(DEFAULTS)) state[name] = given.get(name) ?? value;
}

function hash() {
    const given = new URLSearchParams();
    for (const [name, value] of Object.entries(state)) {
        if (value !== DEFAULTS[name]) given.set(name, value);
    }
    return `#${given}`;
}

// `step`: the browser's Back undoes it.
export function set(change, step = false) {
    Object.assign(state, change);
    history[step ? "pushState" : "replaceState"](null, "", hash());
    tell(change);
}

export function start() {
    read();
    const again = () => {
        read();
        tell(state);
    };
    addEventListener("popstate", again);
    addEventListener("hashchange", again);
}

// To another view: its filter, order and rows begin anew.
export const visit = (tab, change) =>
    set(
        { tab, q: "", sort: "", group: "", row: "", open: "", fold: "", under: "", ...change },
        true,
    );

// A node is named in the URL by a hash of its key (FNV-1a), as keys are long.
function short(key) {
    let hash = 0x811c9dc5;
    for (let at = 0; at < key.length; at += 1) {
        hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
    }
    return (hash >>> 0).toString(36);
}

export const isFolded = (key) => state.fold !== "" && state.fold.split(".").includes(short(key));

export function toggleFold(key) {
    const folds = new Set(state.fold.split(".").filter(Boolean));
    if (!folds.delete(short(key))) folds.add(short(key));
    set({ fold: [...folds].join(".") });
}

// The filter as a test of text: null without one, undefined where it is no regular expression.
export function matcher() {
    if (!state.q) return null;
    try {
        const pattern = new RegExp(state.q, "i");
        return (text) => pattern.test(text);
    } catch {
        return undefined;
    }
}

export const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
