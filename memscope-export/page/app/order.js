// Which rows a view shows, and in which order: filtered, sorted, grouped, or as a tree.

import { isFolded, matcher, state } from "./state.js";

// What the reader sorts by: the largest first, unless it says otherwise.
export function sortOf(view) {
    const sort = state.sort || view.sort;
    return { key: sort.replace(/^-/, ""), sign: sort.startsWith("-") ? -1 : 1 };
}

const collator = new Intl.Collator(undefined, { numeric: true });

// What is not known comes last, whichever way the others are sorted.
function compare(a, b, sign) {
    if (a == null || b == null || a === "" || b === "") {
        return Number(a == null || a === "") - Number(b == null || b === "");
    }
    return sign * (typeof a === "string" ? collator.compare(a, b) : a - b);
}

// Sorts by a value that is taken once a row.
function sorted(rows, value, sign) {
    const pairs = rows.map((row, at) => [value(row), at, row]);
    pairs.sort(([a, i], [b, j]) => compare(a, b, sign) || i - j);
    return pairs.map(([, , row]) => row);
}

// Entries of the table: a row or a group, its depth, and whether it is unfolded (null: a leaf).
export function entriesOf(view, held) {
    const matches = matcher();
    const { key, sign } = sortOf(view);
    const column = view.columns.find((it) => it.key === key) ?? view.columns[0];
    const value = (row) => column.value(row);
    if (view.isTree) return treeEntries(view, matches, (rows) => sorted(rows, value, sign));
    let rows = view.rows();
    if (matches) rows = rows.filter((row) => matches(view.search(row)));
    rows = held ? inHeldOrder(rows, held) : sorted(rows, value, sign);
    const groupOf = view.groups?.[state.group];
    if (!groupOf) return rows.map((row) => ({ key: row.key, row, level: 0, isOpen: null }));
    return grouped(view, rows, groupOf, (groups) => sorted(groups, value, sign), held);
}

// Rows stay where they are; rows that have gone stay as shadows, new ones come last.
function inHeldOrder(rows, held) {
    const now = new Map(rows.map((row) => [row.key, row]));
    const kept = [];
    for (const [key, row] of held) {
        kept.push(now.get(key) ?? { ...row, isGone: true });
        now.delete(key);
    }
    return kept.concat([...now.values()]);
}

function grouped(view, rows, groupOf, sort, held) {
    const groups = new Map();
    for (const row of rows) {
        const name = groupOf(row);
        let group = groups.get(name);
        if (!group) {
            group = { key: `group:${name}`, name, members: [], measured: true };
            for (const field of view.sums) group[field] = 0;
            groups.set(name, group);
        }
        group.members.push(row);
        for (const field of view.sums) group[field] += row[field] ?? 0;
    }
    const all = [...groups.values()];
    return (held ? all : sort(all)).flatMap((group) => {
        const isOpen = !isFolded(group.key);
        const members = isOpen ? group.members : [];
        return [
            { key: group.key, row: group, level: 0, isOpen, isGroup: true },
            ...members.map((row) => ({ key: row.key, row, level: 1, isOpen: null })),
        ];
    });
}

// Sorted, but for what a view puts first or last whatever the order.
function inOrder(view, rows, sort) {
    const all = sort(rows);
    return view.rank ? sorted(all, view.rank, 1) : all;
}

// Of a match its whole subtree stays, and what leads to it.
function treeEntries(view, matches, sort) {
    const entries = [];
    const leadsToMatch = new Map();
    const keeps = (row) => {
        if (!leadsToMatch.has(row)) {
            const below = () => [...row.children.values()].some(keeps);
            leadsToMatch.set(row, matches(view.search(row)) || below());
        }
        return leadsToMatch.get(row);
    };
    const walk = (rows, isBelowMatch, level) => {
        const kept = matches && !isBelowMatch ? rows.filter(keeps) : rows;
        for (const row of inOrder(view, kept, sort)) {
            const beginsOpen = Boolean(matches) || view.beginsOpen(row);
            const isOpen = row.children.size ? isFolded(row.key) !== beginsOpen : null;
            entries.push({ key: row.key, row, level, isOpen });
            if (isOpen) {
                const isMatch = isBelowMatch || Boolean(matches?.(view.search(row)));
                walk([...row.children.values()], isMatch, level + 1);
            }
        }
    };
    walk(view.rows(), false, 0);
    return entries;
}
