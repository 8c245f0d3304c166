// Numbers as text. Sizes are binary; an estimate begins with ≈; what is not known is a dash.

export const KIB = 1024;
export const MIB = 1024 ** 2;
export const GIB = 1024 ** 3;
export const DASH = "–";

const grouped = [0, 1, 2, 3].map(
    (digits) =>
        new Intl.NumberFormat("en-US", {
            minimumFractionDigits: digits,
            maximumFractionDigits: digits,
        }).format,
);

export const decimals = (value, digits) => grouped[digits](value);
export const count = grouped[0];
export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;
export const percent = (part, whole) => {
    if (!whole) return DASH;
    const share = (100 * part) / whole;
    if (share > 0 && share < 1) return "<1 %";
    return `${count(share < 100 && share > 99 ? 99 : share)} %`;
};

const BYTE_UNITS = [
    [1, "B"],
    [KIB, "KiB"],
    [MIB, "MiB"],
    [GIB, "GiB"],
    [1024 ** 4, "TiB"],
];
const TIME_UNITS = [
    [1, "ns"],
    [1e3, "µs"],
    [1e6, "ms"],
    [1e9, "s"],
    [120e9, "min", 60e9],
    [7200e9, "h", 3600e9],
    [172800e9, "d", 86400e9],
];

// The unit in which a value, or the largest value of a column, is written.
export function unitOf(kind, largest) {
    const units = kind === "time" ? TIME_UNITS : BYTE_UNITS;
    const [from, name, size] = units.findLast(([from]) => Math.abs(largest) >= from) ?? units[0];
    const scaled = Math.abs(largest) / (size ?? from);
    const whole = (size ?? from) === 1;
    return {
        name,
        size: size ?? from,
        digits: whole || scaled >= 1000 ? 0 : scaled >= 100 ? 1 : 2,
    };
}

// A value in a given unit: the unit stands in the head of the column.
export function inUnit(value, unit) {
    if (value === 0) return "0";
    const scaled = value / unit.size;
    const least = 10 ** -unit.digits;
    if (Math.abs(scaled) < least / 2)
        return `${value < 0 ? ">−" : "<"}${decimals(least, unit.digits)}`;
    return decimals(scaled, unit.digits).replace("-", "−");
}

// A size with its unit: 3 digits, and whole numbers from 100 on.
export function bytes(value) {
    if (value == null || Number.isNaN(value)) return DASH;
    const { name, size } = unitOf("bytes", value);
    const scaled = value / size;
    const digits = size === 1 || Math.abs(scaled) >= 100 ? 0 : size >= GIB ? 2 : 1;
    return `${decimals(scaled, digits).replace("-", "−")} ${name}`;
}

export const estimated = (value) => (value ? `≈ ${bytes(value)}` : bytes(value));
export const exactly = (value) => `${count(value)} ${value === 1 ? "byte" : "bytes"}`;
export const signed = (value) => (value > 0 ? "+" : "") + bytes(value);

// A duration with its unit.
export function duration(ns) {
    if (ns == null || Number.isNaN(ns)) return DASH;
    const { name, size } = unitOf("time", ns);
    const scaled = ns / size;
    return `${decimals(scaled, size === 1 || scaled >= 10 ? 0 : 1)} ${name}`;
}

// How long a process has run: 3 d 04:12, or 04:12:09.
export function uptime(ns) {
    const seconds = Math.floor(ns / 1e9);
    const two = (number) => String(number).padStart(2, "0");
    const [days, hours] = [Math.floor(seconds / 86400), Math.floor((seconds / 3600) % 24)];
    const minutes = Math.floor((seconds / 60) % 60);
    if (days) return `${days} d ${two(hours)}:${two(minutes)}`;
    return `${two(hours)}:${two(minutes)}:${two(seconds % 60)}`;
}

const clocks = [false, true].map((withSeconds) => {
    const parts = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    return new Intl.DateTimeFormat(
        undefined,
        withSeconds ? { ...parts, second: "2-digit" } : parts,
    );
});
const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });

// Times are the reader's own.
export const clock = (ms, withSeconds) => clocks[withSeconds ? 1 : 0].format(ms);
export const date = (ms) => `${day.format(ms)}, ${clock(ms, true)}`;
