// Writes the dashboard as a program in TypeScript, in which Grafana's own types are the claim: of
// the dashboard, and of each panel's options and fields. `ci/export.sh` has it checked by
// TypeScript's compiler. What the queries give is asked of a Prometheus server: `prometheus.rs`.
//
// node types.mjs DASHBOARD FOLDER: FOLDER has node_modules with @grafana/schema.
import fs from "node:fs";
import path from "node:path";

const [file, folder] = process.argv.slice(2);
const dashboard = JSON.parse(fs.readFileSync(file, "utf8"));
const schema = "./node_modules/@grafana/schema/dist/types/raw/composable";
const claims = [
    `import type { Dashboard } from "@grafana/schema";`,
    // JSON has the text of an enumeration's member, not the member.
    `type Plain<T> = T extends string ? \`\${T}\`
        : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;`,
];
const claim = (type, value) =>
    claims.push(`export const v${claims.length}: ${type} = ${JSON.stringify(value)};`);
const typesOf = (kind) => {
    const types = `${schema}/${kind}/panelcfg/x/types.gen`;
    if (!fs.existsSync(path.join(folder, `${types}.d.ts`))) throw new Error(`no panel: ${kind}`);
    return `import("${types}")`;
};

claim("Plain<Dashboard>", dashboard);
for (const panel of dashboard.panels) {
    const types = typesOf(panel.type);
    // Grafana puts in what is missing.
    claim(`Partial<Plain<${types}.Options>>`, panel.options);
    const fields = panel.fieldConfig.defaults.custom;
    if (fields) claim(`Plain<${types}.FieldConfig>`, fields);
}
fs.writeFileSync(path.join(folder, "dashboard.ts"), `${claims.join("\n")}\n`);
